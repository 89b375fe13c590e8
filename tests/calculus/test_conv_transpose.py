import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.conv import conv
from striate.calculus.conv_transpose import conv_transpose, conv_transpose_pullback, demonstrate

TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@st.composite
def cases(pick):
    """A picture, kernels and options that fit each other, of 1 to 3 axes."""
    dims = pick(st.integers(1, 3))
    per_axis = lambda low, high: tuple(pick(st.integers(low, high)) for _ in range(dims))  # noqa: E731
    sizes, kernel, stride, dilation = per_axis(2, 4), per_axis(1, 3), per_axis(1, 3), per_axis(1, 2)
    wholes = [s * (n - 1) + d * (k - 1) + 1 for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)]
    groups = pick(st.sampled_from([1, 2, 3]))
    weight = draw(groups * pick(st.integers(1, 2)), pick(st.integers(1, 2)), *kernel, seed=1)
    x = draw(pick(st.integers(1, 2)), weight.shape[0], *sizes, seed=2)
    options = {
        "stride": stride,
        "padding": tuple(pick(st.integers(0, min((w - 1) // 2, 2))) for w in wholes),
        "output_padding": tuple(pick(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)),
        "groups": groups,
        "dilation": dilation,
    }
    return x, weight, options


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases())
def test_forward_and_pullback_are_torchs(case):
    x, weight, options = case
    x, weight = x.requires_grad_(), weight.requires_grad_()
    bias = draw(weight.shape[1] * options["groups"], seed=3).requires_grad_()
    y = TRANSPOSE[x.ndim - 2](x, weight, bias, *options.values())
    assert_close(conv_transpose(x, weight, bias, **options), y, rtol=1e-10, atol=1e-12)
    dy = draw(*y.shape, seed=4)
    wanted = torch.autograd.grad(y, (x, weight, bias), dy)
    for ours, theirs in zip(conv_transpose_pullback(dy, x, weight, **options), wanted, strict=True):
        assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(cases())
def test_it_is_the_adjoint_of_convolution(case):
    y, weight, options = case  # <conv x, y> = <x, conv_transpose y>: y has the size that conv gives
    back = conv_transpose(y, weight, **options)
    x = draw(*back.shape, seed=5)
    same = {name: options[name] for name in ("stride", "padding", "groups", "dilation")}
    forward = conv(x, weight, **same)
    window = tuple(slice(0, n) for n in y.shape[2:])  # output_padding of a stride or more fits further windows
    assert_close((forward[(..., *window)] * y).sum(), (x * back).sum(), rtol=1e-10, atol=1e-10)
    if all(e < s for e, s in zip(options["output_padding"], options["stride"], strict=True)):
        assert forward.shape == y.shape


@settings(max_examples=25, deadline=None, derandomize=True)
@given(cases())
def test_pullback_agrees_with_central_differences(case):
    x, weight, options = case
    dy = draw(*conv_transpose(x, weight, **options).shape, seed=4)
    towards_x, towards_w, h = draw(*x.shape, seed=5), draw(*weight.shape, seed=6), 1e-4
    up, down = (conv_transpose(x + t * towards_x, weight + t * towards_w, **options) for t in (h, -h))
    dx, dw, _ = conv_transpose_pullback(dy, x, weight, **options)
    slope = ((up - down) * dy).sum() / (2 * h)
    assert_close((dx * towards_x).sum() + (dw * towards_w).sum(), slope, rtol=1e-6, atol=1e-8)


def test_it_restores_the_shape_and_not_the_values():
    x, w = draw(1, 1, 6, 6), draw(1, 1, 3, 3, seed=1)
    back = conv_transpose(conv(x, w, stride=2), w, stride=2, output_padding=1)
    assert back.shape == x.shape
    assert (back - x).abs().max() > 0.1


def test_padding_may_differ_from_side_to_side():
    x, w = draw(1, 1, 5), draw(1, 1, 4, seed=1)
    assert_close(conv_transpose(x, w, padding=((1, 2),)), conv_transpose(x, w)[..., 1:-2])


X, W = draw(1, 4, 3, 3), draw(4, 2, 3, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": draw(1, 5, 3, 3)}, r"channels of x must be weight's 4, got 5"),
        ({"x": draw(4, 3)}, "rank of x and weight"),
        ({"groups": 3}, "use a divisor of the 4 input channels"),
        ({"bias": draw(2)}, "give 4 numbers"),
        ({"output_padding": 1}, "use 0, or a larger stride"),
        ({"padding": 3}, r"less than the 5 pixels there are, got \(3, 3\)\.\n  Fix: take away 4 pixels or less"),
    ],
)
def test_shapes_that_do_not_fit_name_the_value_that_would(change, message):
    with pytest.raises(ConfigError, match=message):
        conv_transpose(**({"x": X, "weight": W, "groups": 2} | change))


def test_the_demonstration_tells_the_truth():
    text = demonstrate()
    y = F.conv_transpose2d(
        torch.tensor([[[[1.0, 2], [3, 4]]]]), torch.tensor([[[[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]]]), None, 2
    )
    for row in y[0, 0].int().tolist():
        assert any(line.split()[-5:] == [str(v) for v in row] for line in text.splitlines())
    assert "= 3;" in text
    assert "= 10\n" in text
    assert "> = 35" in text
    assert text.endswith("1 + 4 + 10 + 16 + 4 = 35")
