import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.branches import add, add_pullback, concatenate, concatenate_pullback, demonstrate

spatials = st.lists(st.integers(1, 3), max_size=3)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), spatials)
def test_concatenations_pullback_is_autograds(channels, spatial):
    parts = [torch.randn(2, C, *spatial, dtype=torch.float64, requires_grad=True) for C in channels]
    y = concatenate(parts)
    assert y.shape == (2, sum(channels), *spatial)
    dy = torch.randn_like(y)
    assert_close(concatenate_pullback(dy, channels), torch.autograd.grad(y, parts, dy), rtol=0, atol=0)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(1, 4), spatials)
def test_additions_pullback_is_autograds(count, spatial):
    parts = [torch.randn(2, 3, *spatial, dtype=torch.float64, requires_grad=True) for _ in range(count)]
    y = add(parts)
    assert_close(y, torch.stack(parts).sum(0))
    dy = torch.randn_like(y)
    assert_close(add_pullback(dy, count), torch.autograd.grad(y, parts, dy), rtol=0, atol=0)


def test_branches_of_other_sizes_are_refused_and_not_broadcast():
    with pytest.raises(ConfigError, match=r"batch and spatial sizes of the branches must be equal"):
        concatenate([torch.ones(1, 2, 3), torch.ones(1, 2, 4)])
    with pytest.raises(ConfigError, match=r"shapes of the branches must be equal, got .*1, 2, 1.*\n  Fix: "):
        add([torch.ones(1, 2, 3), torch.ones(1, 2, 1)])
    with pytest.raises(ConfigError, match="at least one branch"):
        add([])


def test_the_demonstration_can_be_checked_by_hand():
    text = demonstrate()
    for line in ("1  2  and  10  20  ->  1  2  |  10  20", "3  4       30  40      3  4     30  40"):  # side by side
        assert line in text
    for line in ("1  0  |  0  3  ->  1  0  and  0  3", "0  2     4  0      0  2       4  0"):  # and apart again
        assert line in text
    for line in ("1  2  +  10  20  =  11  22", "3  4     30  40     33  44", "1  0  ->  1  0  and  1  0"):
        assert line in text
