import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.stochastic_pool import (
    demonstrate,
    stochastic_pool,
    stochastic_pool_mean,
    stochastic_pool_mean_pullback,
    stochastic_pool_pullback,
)

sizes = st.lists(st.integers(3, 6), min_size=1, max_size=3).map(tuple)


def draw(size, kernel, stride, ceil):
    """Activations with zeros among them, and a uniform number for every window."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, 2, *size, dtype=torch.float64, generator=g).relu()
    options = {"stride": stride, "ceil_mode": ceil}
    u = torch.rand(stochastic_pool_mean(x, kernel, **options).shape, dtype=torch.float64, generator=g)
    return x, u, options, g


@settings(max_examples=30, deadline=None, derandomize=True)
@given(sizes, st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_pullbacks_are_autograds(size, kernel, stride, ceil):
    x, u, options, g = draw(size, kernel, stride, ceil)
    x.requires_grad_()
    dy = torch.randn(u.shape, dtype=torch.float64, generator=g)
    y, indices = stochastic_pool(x, u, kernel, **options)
    expected = torch.autograd.grad(y, x, dy)[0]
    assert_close(stochastic_pool_pullback(dy, indices, size), expected, rtol=1e-10, atol=1e-12)
    mean = stochastic_pool_mean(x, kernel, **options)
    expected = torch.autograd.grad(mean, x, dy)[0]
    ours = stochastic_pool_mean_pullback(dy, x, kernel, **options)
    assert_close(ours, expected, rtol=1e-10, atol=1e-12)


def test_the_means_pullback_agrees_with_central_differences():
    x, u, options, g = draw((5, 6), 3, 2, ceil=False)
    x = x + 0.1  # a negative step from 0 is refused
    v, dy = (torch.randn(t.shape, dtype=torch.float64, generator=g) for t in (x, u))
    up, down = ((dy * stochastic_pool_mean(x + h * v, 3, **options)).sum() for h in (1e-6, -1e-6))
    slope = (stochastic_pool_mean_pullback(dy, x, 3, **options) * v).sum()
    assert_close((up - down) / 2e-6, slope, rtol=1e-6, atol=0)


def test_draws_follow_the_activations_and_average_to_the_evaluation():
    x = torch.tensor([0.0, 1.0, 2.0, 5.0], dtype=torch.float64).expand(1, 1, 4)
    n = 4000
    u = ((torch.arange(n, dtype=torch.float64) + 0.5) / n)[:, None, None]
    y, indices = stochastic_pool(x.expand(n, 1, 4), u, 4)
    assert indices.flatten().bincount(minlength=4).tolist() == [0, 500, 1000, 2500]
    assert_close(y.mean(), stochastic_pool_mean(x, 4).squeeze(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("u", [0.0, 0.5, 1 - 2**-32])
def test_a_zero_is_never_drawn_unless_all_are(u):
    x = torch.tensor([[[0.0, 3.0, 0.0, 0.0, 0.0, 0.0]]])
    y, indices = stochastic_pool(x, torch.full((1, 1, 2), u, dtype=torch.float64), 3)
    assert y.tolist() == [[[3.0, 0.0]]]
    assert indices.tolist() == [[[1, 3]]]


def test_a_window_of_zeros_has_no_gradient_in_evaluation():
    dx = stochastic_pool_mean_pullback(torch.ones(1, 1, 1), torch.zeros(1, 1, 4), 4)
    assert dx.tolist() == [[[0.0] * 4]]


def test_a_negative_activation_names_the_fix():
    with pytest.raises(ConfigError, match=r"must be >= 0, got -2\.\n  Fix: put a ReLU before the pooling"):
        stochastic_pool_mean(torch.tensor([[[1.0, -2.0]]]), 2)


def test_the_demonstration_shows_its_numbers():
    text = demonstrate()
    assert "u = 0.1 draws 1.6, u = 0.39 draws 1.6, u = 0.41 draws 2.4" in text
    assert "0.4·1.6 + 0.6·2.4 = 2.08" in text
    assert [line.split() for line in text.splitlines()[-2:]] == [["0.28", "-0.52"], ["-0.52", "0.68"]]
