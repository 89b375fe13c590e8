import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.pool_windows import pool_windows


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(1, 4), st.data())
def test_the_number_of_windows_is_torchs(n, kernel, stride, data):
    padding, ceil = data.draw(st.integers(0, kernel // 2)), data.draw(st.booleans())
    options = {"stride": stride, "padding": padding, "ceil_mode": ceil}
    try:
        expected = F.max_pool1d(torch.zeros(1, 1, n), kernel, **options).shape[2]
    except RuntimeError:
        with pytest.raises(ConfigError):
            pool_windows((n,), kernel, **options)
    else:
        assert pool_windows((n,), kernel, **options).out == (expected,)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=3), st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_folding_is_the_adjoint_of_viewing(size, kernel, stride, ceil):
    try:
        place = pool_windows(tuple(size), kernel, stride=stride, padding=kernel // 2, ceil_mode=ceil)
    except ConfigError:
        return
    x = torch.randn(2, 2, *size, dtype=torch.float64)
    w = place.view(x, fill=0.0)
    dw = torch.randn_like(w)
    assert w.shape == (2, 2, *place.out, kernel ** len(size))
    assert_close((w * dw).sum(), (x * place.fold(dw)).sum(), rtol=1e-10, atol=1e-12)


def test_a_stride_longer_than_the_window_leaves_pixels_out():
    place = pool_windows((6,), 1, stride=4, ceil_mode=True)
    assert place.view(torch.arange(6.0)[None, None], fill=0.0).flatten().tolist() == [0, 4]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kernel_size": 0}, r"kernel_size must be >= 1"),
        ({"kernel_size": (2, 2, 2)}, r"kernel_size must be 1 or 2 integers"),
        ({"kernel_size": 2, "stride": 0}, r"stride must be >= 1"),
        ({"kernel_size": 2, "padding": -1}, r"padding must be >= 0"),
        ({"kernel_size": 3, "padding": 2}, r"at most half of the window, got 2\.\n  Fix: pad at most 1"),
        ({"kernel_size": 2, "padding": 1, "dilation": 6}, r"at most the axis's 5 pixels, got 6\.\n  Fix: dilate by at"),
        ({"kernel_size": 6}, r"at least the window's 6 pixels, got 5\.\n  Fix: pad 1 pixels more"),
    ],
)
def test_windows_that_cannot_be_name_the_fix(options, text):
    with pytest.raises(ConfigError, match=text):
        pool_windows((5, 5), **options)
