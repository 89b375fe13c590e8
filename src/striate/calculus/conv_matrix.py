"""Convolution as one matrix, for sizes small enough to look at.

    vec(y) = A vec(x) (+ bias)        A[(o, m), (i, j)] = sum of weight[o, i, k] over the k that see pixel j from m

In one dimension at stride 1 without padding A is Toeplitz: every row is the row above moved one to the right.
Most of A is 0, and the same few weights fill every row: sparse connections, shared weights.  The transpose
leads back: A^T takes one error to all the pixels that its window saw (one-to-many), which is both the gradient
of convolution and transposed convolution.  The columns tell `usage`: how often each pixel is looked at.
Sources: Dumoulin and Visin 2016, arXiv:1603.07285, section 4.1; Goodfellow et al., Deep Learning, section 9.1.
"""

from math import prod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.calculus.conv import Geometry, PerAxis, conv, geometry, rotate
from striate.calculus.padding import Border, Padding, is_constant, pad
from striate.calculus.pencil import beside, grid
from striate.calculus.windows import per_axis, windows

OUTSIDE = -1  # the pixel number of the border where it copies none


def conv_matrix(
    weight: Float[Tensor, "O I *kernel"],
    sizes: tuple[int, ...],
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    border: Border = "zeros",
    flip_kernel: bool = False,
) -> Float[Tensor, "outputs inputs"]:
    """The matrix A with conv(x, weight, ...).flatten() = A @ x.flatten() for one picture of C = I * groups channels.

    A border of a number other than 0 adds a constant to y, which no matrix holds: A is the linear part.

    The picture has `sizes` pixels on its axes; the options are those of `conv`.

    Raises:
        ConfigError: no window fits.

    >>> conv_matrix(torch.tensor([[[1.0, 2.0]]]), (4,)).tolist()
    [[1.0, 2.0, 0.0, 0.0], [0.0, 1.0, 2.0, 0.0], [0.0, 0.0, 1.0, 2.0]]
    """
    pixels = seen_pixels(sizes, geometry(sizes, tuple(weight.shape[2:]), stride, padding, dilation), border)  # M K
    pixels = pixels.to(weight.device)
    O, I = weight.shape[:2]  # noqa: E741 - the letters of the shapes
    (M, K), P = pixels.shape, prod(sizes)
    kernels = (rotate(weight) if flip_kernel else weight).reshape(O, 1, I, K)
    o = torch.arange(O, device=weight.device).view(O, 1, 1, 1)
    m = torch.arange(M, device=weight.device).view(1, M, 1, 1)
    i = torch.arange(I, device=weight.device).view(1, 1, I, 1) + o // (O // groups) * I
    matrix = weight.new_zeros(O, M, I * groups, P + 1)  # the last column collects what falls outside
    matrix.index_put_((o, m, i, pixels.view(1, M, 1, K)), kernels, accumulate=True)
    return matrix[..., :P].reshape(O * M, I * groups * P)


def usage(
    sizes: tuple[int, ...],
    kernel_size: PerAxis,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    border: Border = "zeros",
) -> Int[Tensor, "*sizes"]:
    """How many windows look at each pixel; a border that copies pixels looks at them again.

    >>> usage((4, 4), 3).tolist()
    [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]]
    """
    kernel = per_axis("kernel_size", kernel_size, len(sizes), where="usage")
    pixels = seen_pixels(sizes, geometry(sizes, kernel, stride, padding, dilation), border)
    return pixels[pixels != OUTSIDE].bincount(minlength=prod(sizes)).view(sizes)


def seen_pixels(sizes: tuple[int, ...], g: Geometry, border: Border) -> Int[Tensor, "M K"]:
    """The row-major number of the pixel that each kernel entry meets at each output; OUTSIDE where there is none."""
    numbered = torch.arange(prod(sizes)).view(1, 1, *sizes)
    padded = pad(numbered, g.pairs, OUTSIDE if is_constant(border) else border)
    return windows(padded, g.kernel_size, g.stride, g.dilation).reshape(-1, prod(g.kernel_size))


def demonstrate() -> str:
    """A worked example: a signal's Toeplitz matrix, its transpose, a picture's matrix, and the usage of pixels."""
    x, w = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.0, 0.0, -1.0])
    toeplitz = conv_matrix(w[None, None], (4,))
    y = toeplitz @ x
    kernel, picture = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.arange(1.0, 10.0).view(3, 3)
    matrix = conv_matrix(kernel[None, None], (3, 3))
    image = conv(picture[None, None], kernel[None, None])[0, 0]
    error = torch.tensor([1.0, 0.0])
    lines = [
        "CONVOLUTION AS A MATRIX   vec(y) = A vec(x)",
        "kernel 1 0 -1 over the signal 1 2 3 4: each row is the one above, one step to the right",
        beside(grid(toeplitz), "x", grid(x[:, None]), "=", grid(y[:, None])),
        "THE TRANSPOSE   one error goes to all the pixels that its window saw",
        beside(grid(toeplitz.T), "x", grid(error[:, None]), "=", grid((toeplitz.T @ error)[:, None])),
        "A PICTURE   kernel, picture, output; below, the matrix that does it (4 outputs x 9 pixels, row by row)",
        beside(grid(kernel), "*", grid(picture), "=", grid(image)),
        beside(grid(matrix), "x", grid(picture.view(9, 1)), "=", grid(image.view(4, 1))),
        f"of {matrix.numel()} entries {int(matrix.count_nonzero())} are not 0, and they are 4 different weights",
        "USAGE   how many 3x3 windows look at each pixel of a 5x5 picture: a corner once, the centre nine times",
        grid(usage((5, 5), 3)),
    ]
    return "\n\n".join(lines)


if __name__ == "__main__":
    print(demonstrate())
