"""Sliding windows: which pixels one output number looks at, and the way back.

    windows(x)[b, c, o, k] = x[b, c, s o + d k]        o = 0 .. m-1,  k = 0 .. K-1, on every axis
    m = floor((n + p - d (K - 1) - 1) / s) + 1         s stride, d dilation, p = before + after padding

Convolution and pooling are sums over the last axes of this view.  Its adjoint, `fold`, adds every
entry back to the pixel it came from; `spread` puts s - 1 zeros between neighbours, which is what a
stride s looks like from behind.  Dumoulin and Visin 2016, arXiv:1603.07285, relationships 6 and 15.
"""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from striate.base.shapes import output_size as output_size  # the whole numbers of windows, also by this room's name
from striate.base.shapes import per_axis as per_axis
from striate.base.shapes import reach as reach
from striate.calculus.pencil import beside, grid


def windows(
    x: Shaped[Tensor, "B C *spatial"],
    kernel_size: int | tuple[int, ...],
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
) -> Shaped[Tensor, "B C *out_kernel"]:
    """All windows as a view (no copy) of shape B C *out *kernel; pixels past the last whole window are left out.

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

    >>> spread(torch.tensor([[[1.0, 2.0, 3.0]]]), 2)[0, 0].tolist()
    [1.0, 0.0, 2.0, 0.0, 3.0]
    """
    steps = per_axis("stride", stride, y.ndim - 2, where="spread")
    wide = y.new_zeros(*y.shape[:2], *(s * (m - 1) + 1 for m, s in zip(y.shape[2:], steps, strict=True)))
    wide[(slice(None), slice(None), *(slice(None, None, s) for s in steps))] = y
    return wide


def demonstrate() -> str:
    """Six pixels under windows of three, with stride and with dilation, and the way back; then a spread."""
    x = torch.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]])
    plain, strided, dilated = (windows(x, 3, stride=s, dilation=d) for s, d in ((1, 1), (2, 1), (1, 2)))
    dy = torch.tensor([[[[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]]])
    return "\n\n".join(
        [
            f"WINDOWS   of 3 over x = {grid(x)}: window o, entry k is x[s o + d k]",
            beside("stride 1:", grid(plain[0, 0]), "   stride 2:", grid(strided[0, 0]), "   d 2:", grid(dilated[0, 0])),
            "how many: floor((6 - d (3 - 1) - 1) / s) + 1 = 4, 2 (pixel 5 is in none) and 2",
            "BACKWARD   fold: each entry back to its pixel, added where windows meet: 3 + 10 = 13 on pixel 2",
            beside(grid(dy[0, 0]), "stride 2  ->", grid(fold(dy, (6,), 2))),
            "HOW OFTEN EACH PIXEL IS SEEN   fold of ones, stride 1",
            grid(fold(torch.ones_like(plain), (6,))),
            "SPREAD   stride - 1 zeros between neighbours: 1 2 3 by stride 2",
            grid(spread(x[..., :3], 2)),
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
