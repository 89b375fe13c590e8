"""Unpooling: back to the size before pooling, though not to the values.

    max unpooling       x[i[o]] = y[o], all other pixels 0        dL/dy[o] = dL/dx[i[o]]
    nearest unpooling   x[j] = y[floor(j / K)]                    dL/dy[o] = sum over its K pixels of dL/dx

The first puts each maximum where max pooling found it (the "switches" of Zeiler and Fergus, ECCV 2014, section 2.1),
the second repeats each mean over its window, so that mean pooling after it changes nothing.
"""

from math import prod

from jaxtyping import Float, Int
from torch import Tensor

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

    >>> import torch
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

    >>> import torch
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
