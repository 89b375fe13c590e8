import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.windows import demonstrate, fold, output_size, per_axis, spread, windows

F64 = torch.float64


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


@st.composite
def geometries(draw_):
    """Sizes, kernel, stride and dilation of 1 to 3 axes on which at least one window fits."""
    axis = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(0, 4))
    axes = draw_(st.lists(axis, min_size=1, max_size=3))
    kernel, stride, dilation = (tuple(a[i] for a in axes) for i in range(3))
    return tuple(a[2] * (a[0] - 1) + 1 + a[3] for a in axes), kernel, stride, dilation


@settings(max_examples=40, deadline=None, derandomize=True)
@given(geometries())
def test_an_entry_is_the_pixel_of_the_formula(geometry):
    sizes, kernel, stride, dilation = geometry
    x = draw(2, 3, *sizes)
    w = windows(x, kernel, stride, dilation)
    dims = len(sizes)
    for at in torch.cartesian_prod(*(torch.arange(n) for n in w.shape[2:])).view(-1, 2 * dims).tolist():
        pixel = tuple(s * o + d * k for o, k, s, d in zip(at[:dims], at[dims:], stride, dilation, strict=True))
        assert torch.equal(w[(..., *at)], x[(..., *pixel)])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(geometries())
def test_fold_is_the_adjoint_of_windows(geometry):
    sizes, kernel, stride, dilation = geometry
    x = draw(2, 3, *sizes).requires_grad_()
    w = windows(x, kernel, stride, dilation)
    dw = draw(*w.shape, seed=1)
    back = fold(dw, sizes, stride, dilation)
    assert_close((w * dw).sum(), (x * back).sum(), rtol=1e-12, atol=1e-12)
    assert_close(back, torch.autograd.grad(w, x, dw)[0], rtol=1e-12, atol=1e-12)


def test_windows_are_a_view():
    x = draw(1, 1, 6, 6)
    assert windows(x, 3, 2, 2).untyped_storage().data_ptr() == x.untyped_storage().data_ptr()


def test_spread_is_read_back_by_the_stride():
    y = draw(1, 2, 3, 4)
    wide = spread(y, (2, 3))
    assert wide.shape == (1, 2, 5, 10)
    assert torch.equal(wide[..., ::2, ::3], y)
    assert wide.count_nonzero() == y.numel()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 4), st.integers(0, 3), st.integers(1, 3))
def test_the_size_formula_is_torchs(n, kernel, stride, p, dilation):
    if n + 2 * p < dilation * (kernel - 1) + 1:
        with pytest.raises(ConfigError):
            output_size(n, kernel, stride, p, p, dilation)
        return
    y = torch.conv1d(torch.zeros(1, 1, n), torch.zeros(1, 1, kernel), None, stride, p, dilation)
    assert output_size(n, kernel, stride, p, p, dilation) == y.shape[-1]


def test_a_window_that_does_not_fit_names_the_padding_and_kernel_that_would():
    with pytest.raises(
        ConfigError, match=r"at least the window's 5 pixels, got 4\.\n  Fix: pad 1 pixels more, or .* 2 or"
    ):
        output_size(4, 3, dilation=2)
    with pytest.raises(ConfigError, match="pad 1 pixels more"):
        windows(draw(1, 1, 4, 4), 5)


def test_per_axis_names_the_count_and_the_minimum():
    with pytest.raises(ConfigError, match=r"stride must be 1 or 2 integers, got .*\n.*in the order H, W"):
        per_axis("stride", (1, 2, 3), 2, where="conv")
    with pytest.raises(ConfigError, match=r"stride must be >= 1"):
        per_axis("stride", 0, 2, where="conv")


def test_the_demonstration_can_be_checked_by_hand():
    text = demonstrate()
    assert "stride 1:  2  3  4     stride 2:  1  2  3     d 2:  1  3  5\n" in text
    assert "3  4  5                3  4  5           2  4  6\n" in text
    assert "->  1  2  13  20  30  0\n" in text
    assert "\n1  2  3  3  2  1\n" in text
    assert text.endswith("1  0  2  0  3")
