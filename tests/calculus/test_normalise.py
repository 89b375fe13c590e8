import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import DataError
from striate.calculus.moments import marginal_moments, moments, pixel_rows, streamed
from striate.calculus.normalise import (
    add_mean,
    demonstrate,
    denormalise,
    normalise,
    normalise_pullback,
    standard_deviations,
    subtract_mean,
)


def draw(shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(shape=st.lists(st.integers(1, 4), min_size=2, max_size=5), seed=st.integers(0, 999))
def test_normalise_is_undone_and_pulls_back_like_autograd(shape, seed):
    x, dy = draw(shape, seed).requires_grad_(), draw(shape, seed + 1)
    mean, std = draw(shape[1:2], seed + 2), draw(shape[1:2], seed + 3).exp()
    y = normalise(x, mean, std)
    dx = torch.autograd.grad(y, x, dy)[0]
    assert_close(normalise_pullback(dy, std), dx, rtol=1e-10, atol=1e-12)
    h = 1e-5
    slope = dy * (normalise(x + h, mean, std) - normalise(x - h, mean, std)) / (2 * h)
    assert_close(dx, slope.detach(), rtol=1e-6, atol=1e-8)
    assert_close(denormalise(y, mean, std), x)
    assert_close(add_mean(subtract_mean(x, mean), mean), x)


@pytest.mark.parametrize("each", [moments, marginal_moments])
def test_fitted_on_a_stream_every_colour_gets_mean_0_and_deviation_1(each):
    pictures = 3 * draw([20, 3, 5, 6], 0) + torch.tensor([1.0, -2.0, 5.0], dtype=torch.float64)[:, None, None]
    fitted = streamed((pixel_rows(batch) for batch in pictures.split(7)), each)
    std = standard_deviations(fitted)
    assert_close(std, pictures.transpose(0, 1).flatten(1).std(1))
    y = normalise(pictures, fitted.mean, std)
    assert_close(y.mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64))
    assert_close(y.transpose(0, 1).flatten(1).std(1), torch.ones(3, dtype=torch.float64))
    assert_close(subtract_mean(pictures, fitted.mean).mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64))


def test_a_feature_that_never_changes_is_refused_unless_epsilon_says_what_to_do():
    x = torch.tensor([[1.0, 5.0], [2.0, 5.0]])
    with pytest.raises(DataError, match=r"every feature must be one that changes, got constant 1\.\n  Fix: drop it"):
        standard_deviations(moments(x))
    std = standard_deviations(moments(x), epsilon=0.25)
    assert_close(std, torch.tensor([0.75**0.5, 0.5], dtype=torch.float64))


def test_the_demonstration_can_be_checked_by_hand():
    text = demonstrate()
    x = torch.tensor([[1.0, 100.0], [3.0, 400.0], [5.0, 100.0]], dtype=torch.float64)
    std, mean = torch.std_mean(x, 0)
    assert f"m = {mean[0]:g}  {mean[1]:g} " in text
    assert f"s = {std[0]:.4g}  {std[1]:.4g} " in text
    assert "x - m\n-2  -100\n 0   200\n 2  -100\n" in text
    assert "again\n1  100\n3  400\n5  100\n" in text
    for row in ((x - mean) / std).tolist():
        assert [f"{v:.4g}" for v in row] in [line.split() for line in text.splitlines()]
    assert text.endswith(f"{1 / std[0]:.4g}  {1 / std[1]:.4g}")
