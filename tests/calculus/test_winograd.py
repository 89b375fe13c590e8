import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.conv import conv, conv_pullback
from striate.calculus.winograd import demonstrate, transforms, winograd, winograd_pullback


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@st.composite
def cases(pick):
    """Pictures of any size that a kernel fits, tiles that stand over the edge among them."""
    k, padding = pick(st.sampled_from([3, 5])), pick(st.integers(0, 5))
    sizes = [max(1, k - 2 * padding) + pick(st.integers(0, 9)) for _ in range(2)]
    x = draw(pick(st.integers(1, 2)), pick(st.integers(1, 3)), *sizes, seed=1)
    return x, draw(pick(st.integers(1, 3)), x.shape[1], k, k, seed=2), padding


@settings(max_examples=80, deadline=None, derandomize=True)
@given(cases())
def test_it_is_the_convolution_forward_and_back(case):
    x, weight, padding = case
    y = winograd(x, weight, padding=padding)
    assert_close(y, conv(x, weight, padding=padding), rtol=1e-10, atol=1e-10)
    dy = draw(*y.shape, seed=3)
    dx, dweight = winograd_pullback(dy, x, weight, padding=padding)
    theirs = conv_pullback(dy, x, weight, padding=padding)
    assert_close(dx, theirs[0], rtol=1e-10, atol=1e-10)
    assert_close(dweight, theirs[1], rtol=1e-10, atol=1e-10)


def test_the_matrices_of_a_kernel_of_3_are_those_of_the_paper():
    """Lavin and Gray, section 4.3: F(4x4, 3x3)."""
    G, B, A = transforms(3)
    assert (24 * G).tolist() == [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]
    assert B.T.tolist() == [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
    assert A.T.tolist() == [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


@pytest.mark.parametrize("size", [1, 4, 7])
def test_other_kernels_are_refused(size):
    with pytest.raises(ConfigError, match="3 or 5"):
        transforms(size)


def test_the_demonstration_shows_the_convolution():
    assert "y = A^T (u v) A, u v number by number\n13  -1  -8  -8" in demonstrate()
