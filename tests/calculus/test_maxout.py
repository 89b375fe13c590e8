import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.maxout import demonstrate, maxout, maxout_pullback


def draw(shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 3),
    pieces=st.integers(1, 4),
    rest=st.lists(st.integers(1, 3), max_size=3),
    seed=st.integers(0, 999),
)
def test_maxout_is_the_elementwise_maximum_of_its_pieces_and_pulls_back_like_autograd(
    batch, channels, pieces, rest, seed
):
    x, dy = draw([batch, channels * pieces, *rest], seed), draw([batch, channels, *rest], seed + 1)
    expected = x[:, ::pieces]
    for piece in range(1, pieces):
        expected = torch.maximum(expected, x[:, piece::pieces])
    assert_close(maxout(x, pieces=pieces), expected, rtol=0, atol=0)
    x.requires_grad_()
    dx = torch.autograd.grad(maxout(x, pieces=pieces), x, dy)[0]
    assert_close(maxout_pullback(dy, x.detach(), pieces=pieces), dx, rtol=1e-10, atol=1e-12)


def test_the_pullback_agrees_with_central_differences():
    x, dy, h = draw([2, 6], 0), draw([2, 3], 1), 1e-6
    steps = h * torch.eye(12, dtype=torch.float64).view(12, 2, 6)
    slopes = [((maxout(x + step, pieces=2) - maxout(x - step, pieces=2)) * dy).sum() / (2 * h) for step in steps]
    assert_close(maxout_pullback(dy, x, pieces=2), torch.stack(slopes).view(2, 6), rtol=1e-6, atol=1e-9)


def test_among_equal_pieces_the_first_takes_the_whole_error_in_the_formula_and_in_autograd():
    x = torch.tensor([[1.0, 3.0, 3.0, 2.0, 2.0, 2.0]], dtype=torch.float64, requires_grad=True)
    dy = torch.tensor([[5.0, 7.0]], dtype=torch.float64)
    expected = torch.tensor([[0.0, 5, 0, 7, 0, 0]], dtype=torch.float64)
    assert_close(maxout_pullback(dy, x.detach(), pieces=3), expected)
    assert_close(torch.autograd.grad(maxout(x, pieces=3), x, dy)[0], expected)


def test_two_pieces_make_relu_and_the_absolute_value():
    x = draw([8, 1], 0)
    assert_close(maxout(torch.cat([x, 0 * x], 1), pieces=2), x.clamp(min=0))
    assert_close(maxout(torch.cat([x, -x], 1), pieces=2), x.abs())


@pytest.mark.parametrize("pieces", [0, 4])
def test_channels_that_do_not_divide_are_refused(pieces):
    with pytest.raises(ConfigError, match=r"maxout: pieces must be a divisor of the 6 channels, got \d\.\n  Fix: give"):
        maxout(draw([1, 6], 0), pieces=pieces)


def test_the_demonstration_can_be_checked_by_hand():
    rows = [line.split() for line in demonstrate().splitlines()]
    assert ["y", "5", "-2", "4"] in [row[:4] for row in rows]
    assert ["dx", "0", "10", "20", "0", "30", "0"] in rows
    assert ["max(t,", "0)", "0", "0", "0", "1", "2", "ReLU"] in rows
    assert ["max(t,", "-t)", "2", "1", "0", "1", "2"] in [row[:7] for row in rows]
