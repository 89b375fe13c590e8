"""Sliding windows: which pixels one output number looks at, and the way back.

    windows(x)[b, c, o, k] = x[b, c, s o + d k]        o = 0 .. m-1,  k = 0 .. K-1, on every axis
    m = floor((n + p - d (K - 1) - 1) / s) + 1         s stride, d dilation, p = before + after padding

Convolution and pooling are sums over the last axes of this view.  Its adjoint, `fold`, adds every
entry back to the pixel it came from; `spread` puts s - 1 zeros between neighbours, which is what a
stride s looks like from behind.  Dumoulin and Visin 2016, arXiv:1603.07285, relationships 6 and 15.
"""

from jaxtyping import Float, Shaped
from torch import Tensor

from striate.base.axes import spatial_names
from striate.base.errors import ConfigError


def per_axis(name: str, value: int | tuple[int, ...], dims: int, *, where: str, minimum: int = 1) -> tuple[int, ...]:
    """One number for every axis, or a number for each, as a tuple of `dims` integers.

    >>> per_axis("stride", 2, 3, where="conv")
    (2, 2, 2)

    Raises:
        ConfigError: another count than `dims`, or a number below `minimum`.
    """
    values = (value,) * dims if isinstance(value, int) else tuple(value)
    if len(values) != dims:
        fix = f"give one integer, or {dims} in the order {', '.join(spatial_names(dims))}"
        raise ConfigError(where, name, f"1 or {dims} integers", got=value, fix=fix)
    if min(values) < minimum:
        raise ConfigError(where, name, f">= {minimum} on every axis", got=value, fix=f"use {minimum} or more")
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
        fix = f"pad {need - room} pixels more{smaller}"
        what = f"the input of {n} pixels with {before} + {after} of padding"
        raise ConfigError("output_size", what, f"at least the window's {need} pixels", got=room, fix=fix)
    return (room - need) // stride + 1


def windows(
    x: Shaped[Tensor, "B C *spatial"],
    kernel_size: int | tuple[int, ...],
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
) -> Shaped[Tensor, "B C *out_kernel"]:
    """All windows as a view (no copy) of shape B C *out *kernel; pixels past the last whole window are left out.

    >>> import torch
    >>> windows(torch.arange(5.0).view(1, 1, 5), 3, stride=2)[0, 0].tolist()
    [[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]
    """
    dims = x.ndim - 2
    sizes = per_axis("kernel_size", kernel_size, dims, where="windows")
    steps = per_axis("stride", stride, dims, where="windows")
    gaps = per_axis("dilation", dilation, dims, where="windows")
    for axis, (n, k, s, d) in enumerate(zip(x.shape[2:], sizes, steps, gaps, strict=True), start=2):
        output_size(n, k, s, dilation=d)  # refuses a window that does not fit
        x = x.unfold(axis, reach(k, d), s)[..., ::d]
    return x


def fold(
    dy: Float[Tensor, "B C *out_kernel"],
    sizes: tuple[int, ...],
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
) -> Float[Tensor, "B C *spatial"]:
    """The adjoint of `windows`: each entry is added to the pixel of the B C *sizes picture that it was read from.

    >>> import torch
    >>> fold(torch.ones(1, 1, 3, 3), (5,))[0, 0].tolist()  # how often each pixel was looked at
    [1.0, 2.0, 3.0, 2.0, 1.0]
    """
    dims = len(sizes)
    steps = per_axis("stride", stride, dims, where="fold")
    gaps = per_axis("dilation", dilation, dims, where="fold")
    for axis in reversed(range(dims)):
        dy = _fold_axis(dy, axis + 2, sizes[axis], steps[axis], gaps[axis])
    return dy


def _fold_axis(dy: Tensor, axis: int, n: int, stride: int, dilation: int) -> Tensor:
    """Undo one unfold: the last axis holds the kernel entries of `axis`."""
    dx = dy.new_zeros(*dy.shape[:axis], n, *dy.shape[axis + 1 : -1])
    span = stride * (dy.shape[axis] - 1) + 1
    for k in range(dy.shape[-1]):  # entry k of all windows lies on a comb of pixels: no two collide
        comb: tuple[slice, ...] = (*[slice(None)] * axis, slice(k * dilation, k * dilation + span, stride))
        dx[comb] += dy[..., k]
    return dx


def spread(y: Float[Tensor, "B C *out"], stride: int | tuple[int, ...]) -> Float[Tensor, "B C *spread"]:
    """Put stride - 1 zeros between neighbours: an axis of m becomes s (m - 1) + 1.

    >>> import torch
    >>> spread(torch.tensor([[[1.0, 2.0, 3.0]]]), 2)[0, 0].tolist()
    [1.0, 0.0, 2.0, 0.0, 3.0]
    """
    steps = per_axis("stride", stride, y.ndim - 2, where="spread")
    wide = y.new_zeros(*y.shape[:2], *(s * (m - 1) + 1 for m, s in zip(y.shape[2:], steps, strict=True)))
    wide[(slice(None), slice(None), *(slice(None, None, s) for s in steps))] = y
    return wide
