import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.lp_pool import demonstrate, lp_pool, lp_pool_pullback

TORCHS = {1: F.lp_pool1d, 2: F.lp_pool2d, 3: F.lp_pool3d}
sizes = st.lists(st.integers(3, 6), min_size=1, max_size=3)
powers = st.sampled_from([1.0, 1.5, 2.0, 4.0])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(sizes, powers, st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_forward_is_torchs_and_pullback_is_autograds(size, p, kernel, stride, ceil):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, 2, *size, dtype=torch.float64, generator=g)
    if p in (1.0, 1.5):
        x = x.abs()  # elsewhere torch's is not real, or not a norm
    x.requires_grad_()
    y = lp_pool(x, p, kernel, stride=stride, ceil_mode=ceil)
    if not ceil:  # with ceil_mode torch scales the last window up, as if it were whole
        assert_close(y, TORCHS[len(size)](x, p, kernel, stride), rtol=1e-10, atol=1e-12)
    dy = torch.randn_like(y)
    dx = lp_pool_pullback(dy, x, p, kernel, stride=stride, ceil_mode=ceil)
    assert_close(dx, torch.autograd.grad(y, x, dy)[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("p", [1.5, 2.0, 3.0])
def test_pullback_agrees_with_central_differences_for_both_signs(p):
    g = torch.Generator().manual_seed(0)
    x, v = (torch.randn(2, 2, 5, 7, dtype=torch.float64, generator=g) for _ in range(2))
    dy = torch.randn(lp_pool(x, p, 3, stride=2).shape, dtype=torch.float64, generator=g)
    up, down = ((dy * lp_pool(x + h * v, p, 3, stride=2)).sum() for h in (1e-6, -1e-6))
    slope = (lp_pool_pullback(dy, x, p, 3, stride=2) * v).sum()
    assert_close((up - down) / 2e-6, slope, rtol=1e-6, atol=0)


def test_zeros_have_gradient_zero_and_large_numbers_do_not_overflow():
    x = torch.tensor([[[0.0, 0.0, 3e200, 4e200]]], dtype=torch.float64)
    assert_close(lp_pool(x, 2.0, 2), torch.tensor([[[0.0, 5e200]]], dtype=torch.float64))
    dx = lp_pool_pullback(torch.ones(1, 1, 2, dtype=torch.float64), x, 2.0, 2)
    assert_close(dx, torch.tensor([[[0.0, 0.0, 0.6, 0.8]]], dtype=torch.float64))


def test_a_power_below_one_names_the_fix():
    with pytest.raises(ConfigError, match=r"p must be >= 1 and finite, got 0\.5\.\n  Fix: 1 is the sum"):
        lp_pool(torch.ones(1, 1, 2), 0.5, 2)


def test_the_demonstration_can_be_checked_by_hand():
    text = demonstrate()
    x = torch.tensor([[[[3.0, 0.0, 1.0, -5.0], [0.0, -4.0, 5.0, 7.0]]]], requires_grad=True)
    y = F.lp_pool2d(x, 2.0, 2)
    (dx,) = torch.autograd.grad(y, x, torch.tensor([[[[10.0, 20.0]]]]))
    assert y.flatten().tolist() == [5, 10]
    assert "->  5  10" in text
    assert_close(dx[0, 0], torch.tensor([[6.0, 0.0, 2.0, -10.0], [0.0, -8.0, 10.0, 14.0]]))
    assert "10  20  ->  6   0   2  -10\n            0  -8  10   14" in text
    assert f"p = 4   {(3**4 + 4**4) ** 0.25:.4f}" in text


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
def test_autograd_through_a_window_of_zeros_agrees_with_the_pullback(p):
    x = torch.tensor([[[0.0, 0.0, 3.0, -4.0, 0.0, 2.0]]], dtype=torch.float64, requires_grad=True)
    dy = torch.tensor([[[1.0, 2.0, 3.0]]], dtype=torch.float64)
    (dx,) = torch.autograd.grad(lp_pool(x, p, 2), x, dy)
    assert_close(dx, lp_pool_pullback(dy, x, p, 2), rtol=1e-10, atol=1e-12)
    assert dx[0, 0, :2].tolist() == [0, 0]


def test_nan_goes_through():
    assert lp_pool(torch.tensor([[[0.0, torch.nan, 3.0, 4.0]]]), 2.0, 2).isnan().tolist() == [[[True, False]]]


def test_torch_scales_the_window_that_hangs_over_the_edge_up():
    x = torch.tensor([[[3.0, 4.0, 5.0]]])
    ours, torchs = lp_pool(x, 2.0, 2, ceil_mode=True), F.lp_pool1d(x, 2.0, 2, ceil_mode=True)
    assert_close(ours, torch.tensor([[[5.0, 5.0]]]))
    assert_close(torchs, torch.tensor([[[5.0, 5.0 * 2**0.5]]]))
