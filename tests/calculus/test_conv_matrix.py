from math import prod

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import toeplitz
from torch.testing import assert_close

from striate.calculus.conv import conv, conv_pullback
from striate.calculus.conv_matrix import conv_matrix, demonstrate, usage
from striate.calculus.conv_transpose import conv_transpose


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@st.composite
def cases(pick):
    """A picture, kernels and options of 1 to 3 axes; every border fits."""
    dims = pick(st.integers(1, 3))
    per_axis = lambda low, high: tuple(pick(st.integers(low, high)) for _ in range(dims))  # noqa: E731
    sizes, kernel, groups = per_axis(3, 4), per_axis(1, 3), pick(st.integers(1, 2))
    pairs = tuple((pick(st.integers(0, 2)), pick(st.integers(0, 2))) for _ in range(dims))
    wide = pick(st.booleans()) and all(2 * (k - 1) < n + sum(p) for n, k, p in zip(sizes, kernel, pairs, strict=True))
    options = {
        "stride": per_axis(1, 2),
        "padding": pairs,
        "dilation": 2 if wide else 1,
        "groups": groups,
        "border": pick(st.sampled_from(["zeros", "reflect", "replicate", "circular"])),
        "flip_kernel": pick(st.booleans()),
    }
    return draw(2, 2 * groups, *sizes, seed=1), draw(2 * groups, 2, *kernel, seed=2), options


@settings(max_examples=40, deadline=None, derandomize=True)
@given(cases())
def test_the_matrix_does_what_the_convolution_does_and_its_transpose_is_the_gradient(case):
    x, weight, options = case
    matrix = conv_matrix(weight, tuple(x.shape[2:]), **options)
    y = conv(x, weight, **options)
    assert_close(x.flatten(1) @ matrix.T, y.flatten(1), rtol=1e-10, atol=1e-12)
    dy = draw(*y.shape, seed=7)
    assert_close(dy.flatten(1) @ matrix, conv_pullback(dy, x, weight, **options)[0].flatten(1), rtol=1e-10, atol=1e-12)


def test_one_dimension_is_scipys_toeplitz_matrix():
    w = draw(3)
    column, row = [w[0].item(), 0, 0, 0], [*w.tolist(), 0, 0, 0]
    assert_close(conv_matrix(w[None, None], (6,)).numpy(), toeplitz(column, row))


def test_transposed_convolution_is_the_transposed_matrix():
    weight, y = draw(4, 2, 3, 2), draw(1, 4, 3, 2, seed=1)
    matrix = conv_matrix(weight, (5, 4), stride=2, padding=((1, 1), (0, 0)), groups=2)
    ours = conv_transpose(y, weight, stride=2, padding=(1, 0), groups=2)
    assert_close(matrix.T @ y.flatten(), ours.flatten(), rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(cases())
def test_usage_counts_the_windows_by_a_convolution_of_ones(case):
    x, weight, options = case
    sizes, kernel = tuple(x.shape[2:]), tuple(weight.shape[2:])
    options = {name: options[name] for name in ("stride", "padding", "dilation", "border")}
    one = torch.zeros(prod(sizes), 1, *sizes, dtype=torch.float64)  # one picture for every pixel, 1 there
    one.view(prod(sizes), -1).fill_diagonal_(1)
    seen = conv(one, torch.ones(1, 1, *kernel, dtype=torch.float64), **options).flatten(1).sum(1)
    assert_close(usage(sizes, kernel, **options).double().flatten(), seen)


def test_corners_are_used_once_and_the_centre_many_times():
    counts = usage((5, 5), 3)
    assert counts[0, 0] == counts[-1, -1] == 1
    assert counts[2, 2] == 9
    assert usage((5, 5), 3, padding="full").unique().tolist() == [9]  # full padding is fair to all


def test_the_demonstration_tells_the_truth():
    text = demonstrate()
    assert "1  0  -1   0  x  2  =  -2" in text
    assert "3  4  *  4  5  6  =  67  77" in text  # 1x4 + 2x5 + 3x7 + 4x8 = 67
    assert "of 36 entries 16 are not 0" in text
    assert "3  6  9  6  3" in text
