import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.mean_squared_error import demonstrate, mean_squared_error, mean_squared_error_pullback


def draw(shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    shape=st.lists(st.integers(1, 4), max_size=4),
    reduction=st.sampled_from(["mean", "sum", "none"]),
    seed=st.integers(0, 999),
)
def test_value_and_pullback_are_torchs(shape, reduction, seed):
    y, target = draw(shape, seed).requires_grad_(), draw(shape, seed + 1)
    loss = F.mse_loss(y, target, reduction=reduction)
    assert_close(mean_squared_error(y, target, reduction=reduction), loss, rtol=1e-10, atol=1e-12)
    dl = draw(loss.shape, seed + 2)
    dy = mean_squared_error_pullback(dl, y.detach(), target, reduction=reduction)
    assert_close(dy, torch.autograd.grad(loss, y, dl)[0], rtol=1e-10, atol=1e-12)


def test_the_pullback_agrees_with_central_differences():
    y, target, h = draw([5], 0), draw([5], 1), 1e-6
    steps = h * torch.eye(5, dtype=torch.float64)
    slopes = [(mean_squared_error(y + e, target) - mean_squared_error(y - e, target)) / (2 * h) for e in steps]
    dy = mean_squared_error_pullback(torch.ones((), dtype=torch.float64), y, target)
    assert_close(dy, torch.stack(slopes), rtol=1e-6, atol=1e-9)


def test_an_unknown_reduction_names_the_known_ones():
    with pytest.raises(ConfigError, match="reduction must be one of mean, sum, none, got average"):
        mean_squared_error(draw([2], 0), draw([2], 1), reduction="average")
    with pytest.raises(ConfigError, match="reduction must be one of mean, sum, none, got average"):
        mean_squared_error_pullback(draw([], 0), draw([2], 0), draw([2], 1), reduction="average")


def test_the_demonstration_can_be_checked_by_hand():
    text = demonstrate()
    assert "sum 0.14;  mean 0.14 / 3 = 0.0467;  with the textbooks' 1/2: 0.07" in text  # 0.09 + 0.04 + 0.01
    assert "-0.2000" in text  # 2/3 * -0.3
