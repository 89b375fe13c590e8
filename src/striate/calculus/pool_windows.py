"""Where the windows of a pooling lie, which every pooling shares.

    window o of an axis covers the pixels  s o - p + d k,  k = 0 .. K-1
    number of windows  m = floor((n + 2 p - d (K - 1) - 1) / s) + 1,  rounded up instead with ceil_mode,
    and then one fewer if the last window would begin past the input and the padding before it (torch's rule)

Pooling never reads a padding pixel as a value: max pooling sees -inf there, the sums see 0.
"""

from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from striate.base.shapes import Size as Size
from striate.base.shapes import pool_places, reach
from striate.calculus.windows import fold, windows


@dataclass(frozen=True, slots=True)
class PoolWindows:
    """The windows of one pooling: a number for every spatial axis.

    Args:
        size: pixels of the input.
        kernel: entries of a window.
        stride: pixels from window to window.
        padding: pixels added before (and, in `m`, after) the input.
        dilation: pixels from entry to entry.
        out: m, the number of windows.
    """

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    out: tuple[int, ...]

    @property
    def dims(self) -> int:
        """The number of spatial axes."""
        return len(self.size)

    def view(self, x: Float[Tensor, "B C *spatial"], fill: float) -> Float[Tensor, "B C *out K"]:
        """The entries of every window, row-major; `fill` where a window hangs over the edge."""
        full = x.new_full((*x.shape[:2], *self._padded()), fill)
        full[self._inside()] = x
        return windows(full, self.kernel, self.stride, self.dilation).flatten(-self.dims)

    def fold(self, dw: Float[Tensor, "B C *out K"]) -> Float[Tensor, "B C *spatial"]:
        """The adjoint of `view`: every entry is added to its pixel, and what fell on padding is dropped."""
        entries = dw.reshape(*dw.shape[:-1], *self.kernel)
        return fold(entries, self._padded(), self.stride, self.dilation)[self._inside()]

    def pixel(self, entry: Int[Tensor, "B C *out"]) -> Int[Tensor, "B C *out"]:
        """The number (row-major, over all spatial axes) of the pixel that an entry of each window is."""
        index = torch.zeros_like(entry)
        for axis in range(self.dims):
            window = torch.arange(self.out[axis], device=entry.device)
            start = (window * self.stride[axis] - self.padding[axis]).reshape(-1, *[1] * (self.dims - 1 - axis))
            k = entry // prod(self.kernel[axis + 1 :]) % self.kernel[axis]
            at = start + self.dilation[axis] * k
            # outside only where a whole window is -inf: then its first pixel in the picture stands for it
            index = index * self.size[axis] + at.clamp(0, self.size[axis] - 1)
        return index

    def _padded(self) -> tuple[int, ...]:
        """Pixels of each axis with as much padding as the windows reach."""
        zipped = zip(self.size, self.kernel, self.stride, self.padding, self.dilation, self.out, strict=True)
        return tuple(max(n + p, (m - 1) * s + reach(k, d)) for n, k, s, p, d, m in zipped)

    def _inside(self) -> tuple[slice, ...]:
        inside = tuple(slice(p, p + n) for p, n in zip(self.padding, self.size, strict=True))
        return slice(None), slice(None), *inside


def pool_windows(
    size: tuple[int, ...],
    kernel_size: Size,
    *,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> PoolWindows:
    """Place the windows, with torch's names and defaults (stride: the kernel's size).

    Raises:
        ConfigError: a number out of range, padding beyond half a window, or no room for a window.

    >>> pool_windows((5,), 2, ceil_mode=True).out
    (3,)
    """
    places = pool_places(size, kernel_size, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode)
    return PoolWindows(size, *places)


def route(
    dy: Float[Tensor, "B C *out"], indices: Int[Tensor, "B C *out"], size: tuple[int, ...]
) -> Float[Tensor, "B C *spatial"]:
    """Send every error to the one pixel that its window chose; pixels chosen twice receive the sum."""
    dx = dy.new_zeros(*dy.shape[:2], prod(size))
    return dx.scatter_add(2, indices.flatten(2), dy.flatten(2)).reshape(*dy.shape[:2], *size)


def show(plane: Shaped[Tensor, "H W"], indent: str = "  ") -> str:
    """A small picture as rows of numbers, for the worked examples."""
    return "\n".join(indent + " ".join(f"{value:5g}" for value in row) for row in plane.tolist())
