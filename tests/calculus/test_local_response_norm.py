import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.local_response_norm import (
    alpha_of_sum,
    demonstrate,
    local_response_norm,
    local_response_norm_pullback,
)

shapes = st.tuples(st.integers(1, 2), st.integers(1, 9), st.lists(st.integers(1, 3), max_size=3))
betas = st.sampled_from([0.5, 0.75, 1.0])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(shapes, st.integers(1, 7), betas, st.floats(0.5, 2), st.floats(0.01, 1))
def test_forward_is_torchs_and_pullback_is_autograds(shape, size, beta, k, alpha):
    x = torch.randn(shape[0], shape[1], *shape[2], dtype=torch.float64, requires_grad=True)
    options = {"alpha": alpha_of_sum(alpha, size), "beta": beta, "k": k}
    y = local_response_norm(x, size, **options)
    if x.ndim > 2:  # torch refuses a batch of vectors
        assert_close(y, F.local_response_norm(x, size, alpha, beta, k), rtol=1e-12, atol=1e-12)
    dy = torch.randn_like(y)
    expected = torch.autograd.grad(y, x, dy)[0]
    assert_close(local_response_norm_pullback(dy, x, size, **options), expected, rtol=1e-10, atol=1e-12)


def test_pullback_agrees_with_central_differences():
    g = torch.Generator().manual_seed(0)
    x, dy, v = (torch.randn(2, 7, 3, dtype=torch.float64, generator=g) for _ in range(3))
    h = 1e-5

    def loss(t):
        return (dy * local_response_norm(x + t * v, 4, alpha=0.3, k=1.0)).sum()

    slope = (local_response_norm_pullback(dy, x, 4, alpha=0.3, k=1.0) * v).sum()
    assert_close((loss(h) - loss(-h)) / (2 * h), slope, rtol=1e-6, atol=0)


def test_the_papers_alpha_multiplies_the_sum_and_torchs_the_mean():
    x = torch.ones(1, 5, 1, dtype=torch.float64)
    middle = local_response_norm(x, 5)[0, 2].item()
    assert middle == pytest.approx((2 + 1e-4 * 5) ** -0.75, rel=1e-15)
    torchs = F.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=2.0)[0, 2].item()
    assert torchs == pytest.approx((2 + 1e-4) ** -0.75, rel=1e-15)


def test_a_neighbourhood_of_nothing_names_the_fix():
    with pytest.raises(ConfigError, match=r"size must be >= 1 channel, got 0\.\n  Fix: the paper takes 5"):
        local_response_norm(torch.ones(1, 2, 3), 0)


def test_the_demonstration_shows_its_numbers():
    text = demonstrate()
    assert "0.447214 0.666667 0.707107" in text
    for value in (5**-0.5 - 5**-1.5, -2 * 5**-1.5, 0.0):
        assert f"= {value:.6f}" in text
