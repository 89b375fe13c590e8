"""Adaptive pooling: the number of windows is given, and the windows are laid to cover the input.

    y[o] = the mean or the largest of x[j] over window o
    window o of m on an axis of n pixels:  j = floor(o n / m) .. ceil((o + 1) n / m) - 1      (torch's rule)

Windows overlap where m does not divide n.  m = 1 is global pooling: one window, the whole axis (Lin, Chen and Yan,
"Network in network", ICLR 2014, section 3.2).

The mean is a product with one matrix an axis, A_oj = 1/N_o where window o holds pixel j, and its pullback the product
with the transpose.  The maximum routes its error to the winner, of equals the first in row-major order.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.calculus.pencil import beside, grid
from striate.calculus.pool_windows import Size, route
from striate.calculus.windows import per_axis


def adaptive_mean_pool(x: Float[Tensor, "B C *spatial"], output_size: Size) -> Float[Tensor, "B C *out"]:
    """The average of each of the `output_size` windows of an axis.

    >>> adaptive_mean_pool(torch.tensor([[[1.0, 2.0, 6.0]]]), 1).tolist()
    [[[3.0]]]
    """
    for axis, m in enumerate(_out(x.ndim - 2, output_size), start=2):
        x = _along(x, _averaging(x.shape[axis], m, x), axis)
    return x


def adaptive_mean_pool_pullback(dy: Float[Tensor, "B C *out"], size: tuple[int, ...]) -> Float[Tensor, "B C *spatial"]:
    """dL/dx from dL/dy; `size` is the spatial axes of x in pixels."""
    for axis, n in enumerate(size, start=2):
        dy = _along(dy, _averaging(n, dy.shape[axis], dy).T, axis)
    return dy


def adaptive_max_pool(
    x: Float[Tensor, "B C *spatial"], output_size: Size
) -> tuple[Float[Tensor, "B C *out"], Int[Tensor, "B C *out"]]:
    """The largest number of each window and its pixel, numbered row-major over the spatial axes."""
    dims, sizes = x.ndim - 2, tuple(x.shape[2:])
    pixel = torch.zeros((), dtype=torch.int64, device=x.device)
    index: list[slice | Tensor] = [slice(None), slice(None)]
    for axis, m in enumerate(_out(dims, output_size)):
        shape = [1] * (2 * dims)
        pixels = _pixels(sizes[axis], m, x)  # m K
        shape[axis], shape[dims + axis] = pixels.shape
        pixels = pixels.reshape(shape)
        index.append(pixels)
        pixel = pixel * sizes[axis] + pixels
    values, entry = x[tuple(index)].flatten(-dims).max(-1)  # B C *out K -> B C *out
    chosen = pixel.flatten(-dims).expand(*entry.shape, -1).gather(-1, entry[..., None])
    return values, chosen[..., 0]


def adaptive_max_pool_pullback(
    dy: Float[Tensor, "B C *out"], indices: Int[Tensor, "B C *out"], size: tuple[int, ...]
) -> Float[Tensor, "B C *spatial"]:
    """dL/dx from dL/dy: each error to its winner, as in max pooling."""
    return route(dy, indices, size)


def _out(dims: int, output_size: Size) -> tuple[int, ...]:
    return per_axis("output_size", output_size, dims, where="adaptive pooling")


def _bounds(n: int, m: int, like: Tensor) -> tuple[Tensor, Tensor]:
    o = torch.arange(m, device=like.device)
    return o * n // m, -(-(o + 1) * n // m)


def _averaging(n: int, m: int, like: Tensor) -> Tensor:
    """A, m by n."""
    start, end = _bounds(n, m, like)
    j = torch.arange(n, device=like.device)
    held = (j >= start[:, None]) & (j < end[:, None])
    return held.to(like.dtype) / (end - start)[:, None]


def _pixels(n: int, m: int, like: Tensor) -> Tensor:
    """The pixels of each window, m by K; a short window repeats its last, which cannot win a tie against itself."""
    start, end = _bounds(n, m, like)
    k = torch.arange(int((end - start).max()), device=like.device)
    return torch.minimum(start[:, None] + k, end[:, None] - 1)


def _along(x: Tensor, matrix: Tensor, axis: int) -> Tensor:
    return torch.einsum("...j,oj->...o", x.movedim(axis, -1), matrix).movedim(-1, axis)


def demonstrate() -> str:
    """Five pixels under three windows, which overlap, forward and backward; then one window: global pooling."""
    x = torch.tensor([[[1.0, 5.0, 3.0, 7.0, 2.0]]])
    dy = torch.tensor([[[6.0, 12.0, 18.0]]])
    largest, indices = adaptive_max_pool(x, 3)
    return "\n\n".join(
        [
            "ADAPTIVE POOLING   5 pixels, 3 windows: window o covers floor(5 o / 3) .. ceil(5 (o + 1) / 3) - 1",
            "window 0: pixels 0 .. 1    window 1: pixels 1 .. 3    window 2: pixels 3 .. 4",
            f"x = {grid(x)}",
            f"MEAN   (1 + 5)/2, (5 + 3 + 7)/3, (7 + 2)/2   =   {grid(adaptive_mean_pool(x, 3))}",
            beside("the same as one matrix A: y = A x, A =", grid(_averaging(5, 3, x))),
            f"LARGEST   max(1, 5), max(5, 3, 7), max(7, 2)   =   {grid(largest)}    at pixels {grid(indices)}",
            f"BACKWARD   dy = {grid(dy)}",
            "mean: dx = A^T dy; pixel 1 lies in two windows: 6/2 + 12/3 = 7\n\n"
            f"dx = {grid(adaptive_mean_pool_pullback(dy, (5,)))}",
            "largest: each error to its winner; pixel 3 won twice: 12 + 18 = 30\n\n"
            f"dx = {grid(adaptive_max_pool_pullback(dy, indices, (5,)))}",
            f"GLOBAL   one window: (1 + 5 + 3 + 7 + 2)/5   =   {grid(adaptive_mean_pool(x, 1))}",
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
