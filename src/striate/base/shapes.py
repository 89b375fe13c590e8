"""How many pixels come out: the sizes of sliding windows, in whole numbers alone.

    reach         r = d (K - 1) + 1                                     pixels from a kernel's first entry to its last
    convolution   m = floor((n + p - r) / s) + 1                        p = before + after padding
    pooling       the same, or rounded up (ceil_mode), and then one fewer if the last window would begin past the
                  input and the padding before it (torch's rule)
    transposed    m = s (n - 1) - p + r + output_padding

n pixels in, m windows out, kernel K, stride s, dilation d; one such line for every axis.
Dumoulin and Visin 2016, arXiv:1603.07285, relationships 6, 14 and 15.
"""

from collections.abc import Iterable
from operator import index
from typing import NamedTuple

from striate.base.axes import spatial_names
from striate.base.errors import ConfigError

Size = int | tuple[int, ...]  # one number for every axis, or one for each
Sizes = tuple[int, ...]  # one for each
LIMIT = 2**31  # pixels or channels along one axis: beyond it no machine holds the picture


def per_axis(name: str, value: Size, dims: int, *, where: str, minimum: int = 1) -> Sizes:
    """One number for every axis, or a number for each, as a tuple of `dims` integers.

    >>> per_axis("stride", 2, 3, where="conv")
    (2, 2, 2)

    Raises:
        ConfigError: no integers, another count than `dims`, or a number below `minimum` or above `LIMIT`.
    """
    must, fix = f"1 or {dims} integers", f"give one integer, or {dims} in the order {', '.join(spatial_names(dims))}"
    if dims == 1:
        must, fix = "1 integer", "give one integer"
    try:
        values = tuple(map(index, value if isinstance(value, Iterable) else (value,) * dims))
    except TypeError:
        raise ConfigError(where, name, must, got=repr(value), fix=fix) from None
    if len(values) != dims:
        raise ConfigError(where, name, must, got=value, fix=fix)
    if min(values) < minimum:
        raise ConfigError(where, name, f">= {minimum} on every axis", got=value, fix=f"use {minimum} or more")
    if max(values) > LIMIT:
        raise ConfigError(where, name, f"<= {LIMIT} on every axis", got=value, fix=f"use {LIMIT} or less")
    return values


def reach(kernel: int, dilation: int = 1) -> int:
    """Pixels from a kernel's first entry to its last, both counted: d (K - 1) + 1.

    >>> reach(3, dilation=2)
    5
    """
    return dilation * (kernel - 1) + 1


def output_size(n: int, kernel: int, stride: int = 1, before: int = 0, after: int = 0, dilation: int = 1) -> int:
    """How many windows fit on an axis of `n` pixels: floor((n + p - d (K - 1) - 1) / s) + 1.

    >>> output_size(32, kernel=5)
    28

    Raises:
        ConfigError: not even one fits; the padding and the kernel that would are named.
    """
    room, need = n + before + after, reach(kernel, dilation)
    if room < need:
        largest = (room - 1) // dilation + 1
        smaller = f", or use a kernel of {largest} or less" if largest >= 1 else ""
        fix = f"pad {need - room} pixels more{smaller}; before and after count together"
        what = f"the input of {n} pixels with {before} + {after} of padding"
        raise ConfigError("output_size", what, f"at least the window's {need} pixels", got=room, fix=fix)
    return (room - need) // stride + 1


def transposed_size(
    n: int, kernel: int, stride: int = 1, padding: tuple[int, int] = (0, 0), output_padding: int = 0, dilation: int = 1
) -> int:
    """Pixels of a transposed convolution's output: s (n - 1) - p + d (K - 1) + 1 + output_padding.

    >>> transposed_size(2, kernel=3, stride=2)
    5

    Raises:
        ConfigError: the output padding reaches the next size up, or the padding takes everything away.
    """
    if output_padding >= max(stride, dilation):
        most = max(stride, dilation) - 1
        fix = f"use {most}{' or less' if most else ''}, or a larger stride"
        must = "less than stride or dilation"
        raise ConfigError("conv_transpose", "output_padding", must, got=output_padding, fix=fix)
    whole = stride * (n - 1) + reach(kernel, dilation) + output_padding
    if whole - sum(padding) < 1:
        fix = f"take away {whole - 1} pixels or less in all"
        raise ConfigError("conv_transpose", "padding", f"less than the {whole} pixels there are", got=padding, fix=fix)
    return whole - sum(padding)


class PoolPlaces(NamedTuple):
    """The options of a pooling as one number an axis, and `out`, its number of windows."""

    kernel: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes
    out: Sizes


def pool_places(
    size: Sizes,
    kernel_size: Size,
    *,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> PoolPlaces:
    """Place the windows of a pooling, with torch's names and defaults (stride: the kernel's size).

    >>> pool_places((5,), 2, ceil_mode=True).out
    (3,)

    Raises:
        ConfigError: a number out of range, padding beyond half a window, or no room for a window.
    """
    dims = len(size)
    kernel = per_axis("kernel_size", kernel_size, dims, where="pooling")
    steps = per_axis("stride", kernel if stride is None else stride, dims, where="pooling")
    pads = per_axis("padding", padding, dims, where="pooling", minimum=0)
    gaps = per_axis("dilation", dilation, dims, where="pooling")
    for name, n, p, k, d in zip(spatial_names(dims), size, pads, kernel, gaps, strict=True):
        if 2 * p > reach(k, d):
            fix = f"pad at most {reach(k, d) // 2} along {name}, or enlarge the kernel"
            raise ConfigError("pooling", "padding", "at most half of the window", got=p, fix=fix)
        if p > 0 and d > n:  # a window could step over the whole picture and hold nothing
            less = f" and pad at most {reach(k, n) // 2}" if 2 * p > reach(k, n) else ""
            fix = f"dilate by at most {n}{less} along {name}"
            raise ConfigError("pooling", "dilation", f"at most the axis's {n} pixels", got=d, fix=fix)
    zipped = zip(size, kernel, steps, pads, gaps, strict=True)
    return PoolPlaces(kernel, steps, pads, gaps, tuple(_pooled(*axis, ceil_mode=ceil_mode) for axis in zipped))


def _pooled(n: int, kernel: int, stride: int, padding: int, dilation: int, *, ceil_mode: bool) -> int:
    room = n + 2 * padding - reach(kernel, dilation)
    if not ceil_mode or -room >= stride:  # the second: refused, with the fix, by output_size
        return output_size(n, kernel, stride, padding, padding, dilation)
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= n + padding else count
