import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.calculus.max_pool import max_pool
from striate.calculus.mean_pool import mean_pool
from striate.calculus.unpool import (
    demonstrate,
    max_unpool,
    max_unpool_pullback,
    nearest_unpool,
    nearest_unpool_pullback,
)

TORCHS = {1: F.max_unpool1d, 2: F.max_unpool2d, 3: F.max_unpool3d}
sizes = st.lists(st.integers(2, 6), min_size=1, max_size=3).map(tuple)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(sizes)
def test_max_unpooling_and_its_pullback_are_torchs(size):
    _, indices = max_pool(torch.randn(2, 2, *size, dtype=torch.float64), 2)
    y = torch.randn(indices.shape, dtype=torch.float64, requires_grad=True)
    x = max_unpool(y, indices, size)
    assert_close(x, TORCHS[len(size)](y, indices, 2, output_size=size), rtol=0, atol=0)
    dx = torch.randn_like(x)
    assert_close(max_unpool_pullback(dx, indices), torch.autograd.grad(x, y, dx)[0], rtol=0, atol=0)


def test_overlapping_windows_put_their_shared_maximum_once():
    x = torch.tensor([[[1.0, 9.0, 2.0]]])
    y, indices = max_pool(x, 2, stride=1)
    assert max_unpool(y, indices, (3,)).tolist() == [[[0.0, 9.0, 0.0]]]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(sizes, st.integers(1, 3))
def test_nearest_unpooling_is_torchs_interpolation_with_autograds_pullback(size, kernel):
    y = torch.randn(2, 2, *size, dtype=torch.float64, requires_grad=True)
    x = nearest_unpool(y, kernel)
    assert_close(x, F.interpolate(y, scale_factor=kernel, mode="nearest"), rtol=0, atol=0)
    dx = torch.randn_like(x)
    expected = torch.autograd.grad(x, y, dx)[0]
    assert_close(nearest_unpool_pullback(dx, kernel), expected, rtol=1e-10, atol=1e-12)


def test_mean_pooling_after_nearest_unpooling_changes_nothing():
    y = torch.randn(1, 2, 3, 4, dtype=torch.float64)
    assert_close(mean_pool(nearest_unpool(y, (2, 3)), (2, 3)), y, rtol=1e-12, atol=0)


def test_the_demonstration_can_be_checked_by_hand():
    text = demonstrate()
    x = torch.tensor([[[[1.0, 3.0, 2.0, 0.0], [5.0, 4.0, 0.0, 1.0], [0.0, 1.0, 7.0, 6.0], [2.0, 0.0, 8.0, 9.0]]]])
    y, indices = F.max_pool2d(x, 2, return_indices=True)
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if "max pooling" in line) - 1
    put = [[float(v) for v in line.split()[-4:]] for line in lines[first : first + 4]]
    assert put == F.max_unpool2d(y, indices, 2)[0, 0].tolist()
    assert "unpooling  5  5  2  2\n2  9             2  2  9  9\n" in text
    assert "0:   4   2\n                                       12  15" in text
    assert "->   4   2\n 8   9  10  11      12  15" in text  # the error 0 .. 15 read at those pixels
    assert "->  10  18\n 8   9  10  11      42  50" in text
