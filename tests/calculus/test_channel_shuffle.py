import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.channel_shuffle import channel_shuffle, channel_shuffle_pullback, demonstrate

sizes = st.integers(1, 4)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.tuples(sizes, sizes, sizes), st.lists(sizes, min_size=2, max_size=3))
def test_it_is_torchs_shuffle_and_the_pullback_is_autograds(counts, spatial):
    B, groups, per_group = counts
    x = torch.randn(B, groups * per_group, *spatial, dtype=torch.float64, requires_grad=True)
    y = channel_shuffle(x, groups)
    assert_close(y, F.channel_shuffle(x, groups), rtol=0, atol=0)
    dy = torch.randn_like(y)
    expected = torch.autograd.grad(y, x, dy)[0]
    assert_close(channel_shuffle_pullback(dy, groups), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("groups", [0, -1, 4])
def test_groups_that_do_not_divide_name_the_ones_that_do(groups):
    with pytest.raises(ConfigError, match=r"a divisor of the 6 channels.*\n  Fix: take one of 1, 2, 3, 6"):
        channel_shuffle(torch.ones(1, 6, 2), groups)


def test_the_demonstration_shows_its_numbers():
    assert "read by columns    0 3 1 4 2 5" in demonstrate()
