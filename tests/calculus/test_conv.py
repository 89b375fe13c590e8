import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.conv import conv, conv_pullback, demonstrate
from striate.calculus.padding import pad, resolve

F64 = torch.float64
CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


@st.composite
def cases(pick):
    """A picture, kernels and options that fit each other, of 1 to 3 axes."""
    dims = pick(st.integers(1, 3))
    per_axis = lambda low, high: tuple(pick(st.integers(low, high)) for _ in range(dims))  # noqa: E731
    kernel, stride, dilation = per_axis(1, 3), per_axis(1, 3), per_axis(1, 2)
    sizes = tuple(d * (k - 1) + 1 + pick(st.integers(0, 3)) for k, d in zip(kernel, dilation, strict=True))
    border = pick(st.sampled_from(["zeros", "reflect", "replicate", "circular", 1.5]))
    most = min(sizes) - 1 if border in ("reflect", "circular") else 3
    pixels = st.integers(0, min(most, 3))
    pairs = tuple((pick(pixels), pick(pixels)) for _ in range(dims))
    rules = ["valid", "same", "full"] if border in ("zeros", "replicate", 1.5) else ["valid"]
    groups = pick(st.sampled_from([1, 2, 3]))
    weight = draw(groups * pick(st.integers(1, 2)), pick(st.integers(1, 2)), *kernel, seed=1)
    x = draw(pick(st.integers(1, 2)), groups * weight.shape[1], *sizes, seed=2)
    options = {
        "stride": stride,
        "padding": pick(st.sampled_from([pairs, *rules])),
        "dilation": dilation,
        "groups": groups,
        "border": border,
        "flip_kernel": pick(st.booleans()),
    }
    return x, weight, options


def by_torch(x, weight, bias, *, stride, padding, dilation, groups, border, flip_kernel):
    """The same convolution by torch's padding and torch's kernel."""
    pairs = resolve(padding, tuple(x.shape[2:]), tuple(weight.shape[2:]), stride, dilation)
    flat = [n for pair in reversed(pairs) for n in pair]
    mode, value = (border, None) if border in ("reflect", "replicate", "circular") else ("constant", border)
    xp = F.pad(x, flat, mode, 0 if value == "zeros" else value)
    turned = weight.flip(list(range(2, weight.ndim))) if flip_kernel else weight
    return CONV[x.ndim - 2](xp, turned, bias, stride, 0, dilation, groups)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases())
def test_convolution_is_torchs(case):
    x, weight, options = case
    bias = draw(weight.shape[0], seed=3)
    assert_close(conv(x, weight, bias, **options), by_torch(x, weight, bias, **options), rtol=1e-10, atol=1e-12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases())
def test_pullback_agrees_with_autograd(case):
    x, weight, options = case
    x, weight, bias = x.requires_grad_(), weight.requires_grad_(), draw(weight.shape[0]).requires_grad_()
    y = by_torch(x, weight, bias, **options)
    dy = draw(*y.shape, seed=4)
    wanted = torch.autograd.grad(y, (x, weight, bias), dy)
    for ours, theirs in zip(conv_pullback(dy, x, weight, **options), wanted, strict=True):
        assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(cases())
def test_pullback_agrees_with_central_differences(case):
    x, weight, options = case
    dy = draw(*conv(x, weight, **options).shape, seed=4)
    towards_x, towards_w, h = draw(*x.shape, seed=5), draw(*weight.shape, seed=6), 1e-4
    ahead, behind = (conv(x + t * towards_x, weight + t * towards_w, **options) for t in (h, -h))
    slope = ((ahead - behind) * dy).sum() / (2 * h)
    dx, dw, _ = conv_pullback(dy, x, weight, **options)
    assert_close((dx * towards_x).sum() + (dw * towards_w).sum(), slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_flip_kernel_is_numpys_convolution_and_the_default_its_correlation(kernel):
    import numpy as np

    x, w = draw(9), draw(kernel, seed=1)
    for flip, reference in ((True, np.convolve), (False, np.correlate)):
        ours = conv(x[None, None], w[None, None], flip_kernel=flip, padding="full")
        assert_close(ours[0, 0].numpy(), reference(x.numpy(), w.numpy(), "full"), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("size", "kernel", "stride"), [(13, 6, 5), (7, 3, 2), (8, 2, 2), (5, 4, 1), (4, 1, 3)])
def test_strided_same_gives_size_over_stride_rounded_up(size, kernel, stride):
    x, w = draw(1, 1, size, size), draw(1, 1, kernel, kernel)
    assert conv(x, w, stride=stride, padding="same").shape[2:] == (-(-size // stride),) * 2


def test_an_integer_border_is_a_number_too():
    x, w = draw(1, 1, 4), torch.ones(1, 1, 3, dtype=F64)
    assert_close(conv(x, w, padding=2, border=1)[0, 0, 0], x[0, 0, 0] + 2)
    assert_close(conv(x, w, padding=2, border=1), conv(pad(x, ((2, 2),), 1.0), w))


def test_the_output_lies_in_memory_as_torchs_does():
    assert conv(draw(2, 4, 5, 5), draw(6, 2, 3, 3), groups=2).is_contiguous()


def test_bfloat16_stays_bfloat16():
    y = conv(torch.ones(1, 2, 4, 4, dtype=torch.bfloat16), torch.ones(1, 2, 3, 3, dtype=torch.bfloat16))
    assert y.dtype == torch.bfloat16
    assert y[0, 0, 0, 0] == 18


X, W = draw(1, 4, 6, 6), draw(6, 2, 3, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": draw(4, 6)}, r"rank of x and weight must be equal, 3 to 5, got \(2, 4\)"),
        ({"weight": draw(6, 2, 3)}, r"Fix: give x as B C .* weight as 4 axes"),
        ({"groups": 4}, r"groups must be a divisor .* got 4\.\n  Fix: use a divisor of the 6 output"),
        ({"groups": 1}, r"channels of x must be weight's 2 times groups 1 = 2, got 4\.\n  Fix: .* weight 4 in"),
        ({"bias": draw(5)}, r"got 5 numbers\.\n  Fix: give 6 numbers"),
        ({"stride": 0}, "stride must be >= 1"),
        ({"stride": (1, 1, 1)}, "stride must be 1 or 2 integers"),
        ({"dilation": 3}, r"at least the window's 7 pixels, got 6\.\n  Fix: pad 1 pixels more, or use a kernel of 2"),
    ],
)
def test_shapes_that_do_not_fit_name_the_value_that_would(change, message):
    with pytest.raises(ConfigError, match=message):
        conv(**({"x": X, "weight": W, "groups": 2} | change))


def test_the_demonstration_tells_the_truth():
    text = demonstrate()
    assert "1 + 0 + 1 + 0 + 1 + 0 + 0 + 0 + 1 = 4 = y[0, 0]" in text
    for line in ("4  3  4", "2  4  3", "2  3  4"):  # the published answer
        assert line in text
    assert "db = sum of dy = 3" in text
    assert "=   -3  -5" in text
    assert "=   3  5" in text


def test_each_convolution_shows_itself_from_the_command_line():
    modules = [f"striate.calculus.{name}" for name in ("conv", "conv_transpose", "conv_matrix")]
    run_all = (
        f"import runpy\nfor name in {modules}: runpy.run_module(name, run_name='__main__')"  # torch is imported once
    )
    shown = subprocess.run([sys.executable, "-c", run_all], capture_output=True, text=True, check=True).stdout
    assert demonstrate() in shown
    assert "TRANSPOSED CONVOLUTION" in shown
    assert "CONVOLUTION AS A MATRIX" in shown
