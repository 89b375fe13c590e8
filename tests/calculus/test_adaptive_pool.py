import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.calculus.adaptive_pool import (
    adaptive_max_pool,
    adaptive_max_pool_pullback,
    adaptive_mean_pool,
    adaptive_mean_pool_pullback,
    demonstrate,
)

MEANS = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
MAXIMA = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}
axes = st.lists(st.tuples(st.integers(1, 7), st.integers(1, 8)), min_size=1, max_size=3)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(axes, st.booleans())
def test_mean_and_its_pullback_are_torchs(axes, channels_last):
    size, out = zip(*axes, strict=True)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    if channels_last and len(size) == 2:
        x = x.contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    y = adaptive_mean_pool(x, out)
    expected = MEANS[len(size)](x, out)
    assert_close(y, expected, rtol=1e-12, atol=1e-12)
    dy = torch.randn_like(y)
    dx = adaptive_mean_pool_pullback(dy, size)
    assert_close(dx, torch.autograd.grad(expected, x, dy)[0], rtol=1e-10, atol=1e-12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(axes, st.booleans())
def test_max_and_its_pullback_are_torchs_ties_included(axes, ties):
    size, out = zip(*axes, strict=True)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    x = (x.round() if ties else x).requires_grad_()
    expected = MAXIMA[len(size)](x, out, return_indices=True)
    values, indices = adaptive_max_pool(x, out)
    assert_close((values, indices), expected, rtol=0, atol=0)
    dy = torch.randn_like(values)
    dx = adaptive_max_pool_pullback(dy, indices, size)
    assert_close(dx, torch.autograd.grad(expected[0], x, dy)[0], rtol=1e-10, atol=1e-12)


def test_pullbacks_agree_with_central_differences():
    g = torch.Generator().manual_seed(0)
    x, v = (torch.randn(2, 2, 5, 7, dtype=torch.float64, generator=g) for _ in range(2))
    dy, h = torch.randn(2, 2, 3, 2, dtype=torch.float64, generator=g), 1e-6
    for pool, dx in [
        (lambda t: adaptive_mean_pool(t, (3, 2)), adaptive_mean_pool_pullback(dy, (5, 7))),
        (
            lambda t: adaptive_max_pool(t, (3, 2))[0],
            adaptive_max_pool_pullback(dy, adaptive_max_pool(x, (3, 2))[1], (5, 7)),
        ),
    ]:
        numeric = ((dy * (pool(x + h * v) - pool(x - h * v))).sum()) / (2 * h)
        assert_close(numeric, (dx * v).sum(), rtol=1e-6, atol=0)


def test_one_window_is_global_pooling():
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    assert_close(adaptive_mean_pool(x, 1)[..., 0, 0], x.mean((2, 3)))
    assert_close(adaptive_max_pool(x, 1)[0][..., 0, 0], x.amax((2, 3)))


def test_the_demonstration_can_be_checked_by_hand():
    rows = [line.split() for line in demonstrate().splitlines()]
    x = torch.tensor([[[1.0, 5.0, 3.0, 7.0, 2.0]]], requires_grad=True)
    mean, largest = F.adaptive_avg_pool1d(x, 3), F.adaptive_max_pool1d(x, 3)
    assert mean[0, 0].tolist() == [3, 5, 4.5]
    assert next(row for row in rows if "MEAN" in row)[-3:] == ["3", "5", "4.5"]
    assert next(row for row in rows if "LARGEST" in row)[-8:] == ["5", "7", "7", "at", "pixels", "1", "3", "3"]
    dy = torch.tensor([[[6.0, 12.0, 18.0]]])
    gradients = [torch.autograd.grad(y, x, dy)[0][0, 0].tolist() for y in (mean, largest)]
    assert [[float(v) for v in row[2:]] for row in rows if row[:1] == ["dx"]] == gradients
    assert rows[-1][-2:] == ["=", "3.6"]
