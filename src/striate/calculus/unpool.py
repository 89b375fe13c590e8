"""Unpooling: back to the size before pooling, though not to the values.

    max unpooling       x[i[o]] = y[o], all other pixels 0        dL/dy[o] = dL/dx[i[o]]
    nearest unpooling   x[j] = y[floor(j / K)]                    dL/dy[o] = sum over its K pixels of dL/dx

The first puts each maximum where max pooling found it (the "switches" of Zeiler and Fergus, ECCV 2014, section 2.1),
the second repeats each mean over its window, so that mean pooling after it changes nothing.
"""

from math import prod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.calculus.max_pool import max_pool
from striate.calculus.pencil import beside, grid
from striate.calculus.pool_windows import Size
from striate.calculus.windows import per_axis


def max_unpool(
    y: Float[Tensor, "B C *out"], indices: Int[Tensor, "B C *out"], size: tuple[int, ...]
) -> Float[Tensor, "B C *spatial"]:
    """Put every number on the pixel that its window chose.

    Where overlapping windows chose one pixel, their numbers are equal after max pooling and any of them is put.

    Args:
        y: pooled maps.
        indices: the winners, from `max_pool`.
        size: spatial axes of the result, in pixels.

    >>> max_unpool(torch.tensor([[[5.0, 7.0]]]), torch.tensor([[[1, 2]]]), (4,)).tolist()
    [[[0.0, 5.0, 7.0, 0.0]]]
    """
    x = y.new_zeros(*y.shape[:2], prod(size))
    return x.scatter(2, indices.flatten(2), y.flatten(2)).reshape(*y.shape[:2], *size)


def max_unpool_pullback(
    dx: Float[Tensor, "B C *spatial"], indices: Int[Tensor, "B C *out"]
) -> Float[Tensor, "B C *out"]:
    """dL/dy from dL/dx: read the error where the number was put."""
    return dx.flatten(2).gather(2, indices.flatten(2)).reshape(indices.shape)


def nearest_unpool(y: Float[Tensor, "B C *out"], kernel_size: Size) -> Float[Tensor, "B C *spatial"]:
    """Repeat every number over a block of `kernel_size` pixels.

    >>> nearest_unpool(torch.tensor([[[5.0, 7.0]]]), 2).tolist()
    [[[5.0, 5.0, 7.0, 7.0]]]
    """
    for axis, k in enumerate(per_axis("kernel_size", kernel_size, y.ndim - 2, where="nearest_unpool"), start=2):
        y = y.repeat_interleave(k, dim=axis)
    return y


def nearest_unpool_pullback(dx: Float[Tensor, "B C *spatial"], kernel_size: Size) -> Float[Tensor, "B C *out"]:
    """dL/dy from dL/dx: the sum over each block."""
    for axis, k in enumerate(per_axis("kernel_size", kernel_size, dx.ndim - 2, where="nearest_unpool"), start=2):
        blocks = dx.reshape(*dx.shape[:axis], dx.shape[axis] // k, k, *dx.shape[axis + 1 :])
        dx = blocks.sum(axis + 1)
    return dx


def demonstrate() -> str:
    """A 4x4 picture after max pooling, put back in both ways; and an error on its way through each."""
    x = torch.tensor([[[[1.0, 3.0, 2.0, 0.0], [5.0, 4.0, 0.0, 1.0], [0.0, 1.0, 7.0, 6.0], [2.0, 0.0, 8.0, 9.0]]]])
    y, indices = max_pool(x, 2)
    e = torch.arange(16.0).reshape(1, 1, 4, 4)
    return "\n\n".join(
        [
            "MAX UNPOOLING   each maximum back to where it was found, all else 0",
            _row(x, "max pooling", y, "unpooling", max_unpool(y, indices, (4, 4))),
            beside("its pixel, counted row by row from 0:", grid(indices[0, 0])),
            "BACKWARD   the error is read at those pixels",
            _row(e, "->", max_unpool_pullback(e, indices)),
            "NEAREST UNPOOLING   each number over its whole 2x2 block",
            _row(y, "unpooling", nearest_unpool(y, 2)),
            "BACKWARD   the sum of each block: 0 + 1 + 4 + 5 = 10",
            _row(e, "->", nearest_unpool_pullback(e, 2)),
        ]
    )


def _row(*parts: Tensor | str) -> str:
    return beside(*(part if isinstance(part, str) else grid(part[0, 0]) for part in parts))


if __name__ == "__main__":
    print(demonstrate())
