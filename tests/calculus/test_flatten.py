import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.calculus.flatten import demonstrate, flatten, flatten_pullback


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 3))
def test_it_is_torchs_flatten_and_the_pullback_is_autograds(sample, B):
    x = torch.randn(B, *sample, dtype=torch.float64, requires_grad=True)
    y = flatten(x)
    assert_close(y, torch.flatten(x, 1), rtol=0, atol=0)
    dy = torch.randn_like(y)
    assert_close(flatten_pullback(dy, tuple(sample)), torch.autograd.grad(y, x, dy)[0], rtol=0, atol=0)


def test_channels_last_maps_are_read_channel_by_channel():
    x = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert_close(flatten(x.contiguous(memory_format=torch.channels_last)), torch.arange(24.0)[None])


def test_the_demonstration_can_be_checked_by_hand():
    text = demonstrate()
    assert f"y = {'  '.join(map(str, range(12)))}\n" in text
    assert "y[8] = 8" in text
    assert text.endswith("channel 0:  0  0  0     channel 1:  7  0  0\n            0  0  5                 0  0  0")
