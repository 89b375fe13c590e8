"""Equations of what slides over a map: read as they stand, computed, and held against the layer."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.analysis.equation_checks import check_arithmetic, check_weighted, drawn, only
from tests.analysis.read_equations import Entries, compute
from torch import nn
from torch.testing import assert_close

from striate.analysis.equations import equations
from striate.analysis.inspect import inspect


@st.composite
def convolutions(draw, transposed=False):
    axes = draw(st.integers(1, 3))
    groups = draw(st.sampled_from((1, 1, 2, 3)))
    sizes = st.integers(1, 3 if axes < 3 else 2)  # in Python a volume's sums would take minutes
    inputs, outputs = groups * draw(sizes), groups * draw(sizes)
    kernel, stride, dilation = (tuple(draw(sizes) for _ in range(axes)) for _ in range(3))
    padding = tuple(draw(st.integers(0, d * (k - 1))) for d, k in zip(dilation, kernel, strict=True))
    size = tuple(d * (k - 1) + draw(sizes) for d, k in zip(dilation, kernel, strict=True))
    options = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    if transposed:
        kinds = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
        most = [max(s, d) - 1 for s, d in zip(stride, dilation, strict=True)]
        options["output_padding"] = tuple(draw(st.integers(0, m)) for m in most)
    return kinds[axes - 1](inputs, outputs, kernel, **options).double(), (inputs, *size)


@settings(max_examples=40, deadline=None)
@given(convolutions())
def test_convolution(drawn_):
    check_weighted(*drawn_)


@settings(max_examples=25, deadline=None)
@given(convolutions(transposed=True))
def test_transposed_convolution(drawn_):
    check_weighted(*drawn_)


@pytest.mark.parametrize(
    "stride_one", [nn.Conv2d(2, 3, 4, padding="same"), nn.Conv1d(2, 3, 6, padding="same", dilation=3)]
)
def test_same_padding_of_an_even_kernel_is_one_equation(stride_one):
    check_weighted(stride_one, (2, *[7, 6][: stride_one.weight.ndim - 2]))


def test_same_padding_of_an_even_kernel_has_its_odd_pixel_behind():
    """Kernels of 4 on 8 pixels: 1 of padding before, 2 behind."""
    _, formula = only(nn.Conv2d(1, 1, 4, padding="same"), (1, 8, 8))
    assert str(formula.sizes[0]) == "side 8 = floor((8 + 1 + 2 - 1·(4 - 1) - 1) / 1) + 1"


@pytest.mark.parametrize("bias", [True, False])
def test_a_complex_convolution_is_one_equation(bias):
    model = nn.Conv2d(2, 3, 2, bias=bias, dtype=torch.complex64)
    (row,) = inspect(model, (2, 4, 5), dtype=torch.complex64)
    (step,) = equations(row)
    assert step.formula.equation.startswith(
        f"y[o, i, j] = {'b[o] + ' if bias else ''}sum over c < 2, u < 2, v < 2 of w"
    )
    assert step.formula.macs.value == row.macs
    check_arithmetic(row, step.formula, (3, 4))


@st.composite
def poolings(draw):
    axes = draw(st.integers(1, 3))
    kernel = draw(st.integers(1, 3))
    options = {
        "kernel_size": kernel,
        "stride": draw(st.integers(1, 4)),
        "padding": draw(st.integers(0, kernel // 2)),
        "ceil_mode": draw(st.booleans()),
    }
    if draw(st.booleans()):
        kinds = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
        options["dilation"] = draw(st.integers(1, 2))
    else:
        kinds = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
        options["count_include_pad"] = draw(st.booleans())
    reach = options.get("dilation", 1) * (kernel - 1) + 1
    return kinds[axes - 1](**options), (2, *(reach + draw(st.integers(0, 5)) for _ in range(axes)))


@settings(max_examples=60, deadline=None)
@given(poolings())
def test_pooling(drawn_):
    model, shape = drawn_
    row, formula = only(model, shape)
    x = drawn(1, *shape)
    y = model(x)[0]
    check_arithmetic(row, formula, tuple(y.shape[1:]))
    maximum = "Max" in type(model).__name__
    if not maximum and (model.ceil_mode or (model.padding not in (0, (0,)) and not model.count_include_pad)):
        assert formula.note  # a mean over fewer numbers than a window has entries is told in words
        return
    assert_close(compute(formula.equation, y, x=Entries(x[0], -torch.inf if maximum else 0.0)), y)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("kind", [nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool1d])
def test_adaptive_pooling(kind, size):
    shape = (2, 7) if kind is nn.AdaptiveAvgPool1d else (2, 7, 8)
    x = drawn(1, *shape)
    model = kind(size)
    y = model(x)[0]
    assert_close(compute(only(model, shape)[1].equation, y, x=Entries(x[0])), y)
