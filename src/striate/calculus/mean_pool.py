"""Mean pooling: every window answers with its average.

    y[o] = 1/N[o] sum_k x[s o - p + k]        dL/dx[j] = sum over the windows o that hold j of dL/dy[o] / N[o]

so the error is spread evenly.  N[o] counts the window's pixels: with `count_include_pad` those of the padding too (they
are zeros), without it only those of the picture.  What ceil_mode adds beyond the padding never counts (torch's rule).

With stride and equal weights 1/N this is a convolution of every channel by itself.
LeCun et al. 1990, "Handwritten digit recognition with a back-propagation network", NIPS 2.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from striate.calculus.pool_windows import PoolWindows, Size, pool_windows, show


def mean_pool(
    x: Float[Tensor, "B C *spatial"],
    kernel_size: Size,
    *,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Float[Tensor, "B C *out"]:
    """The average of each window; names and defaults are torch's.

    >>> mean_pool(torch.tensor([[[1.0, 3.0, 5.0, 7.0]]]), 2).tolist()
    [[[2.0, 6.0]]]
    """
    place = pool_windows(tuple(x.shape[2:]), kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode)
    return place.view(x, fill=0.0).sum(-1) / _counted(place, x, padded=count_include_pad)


def mean_pool_pullback(
    dy: Float[Tensor, "B C *out"],
    size: tuple[int, ...],
    kernel_size: Size,
    *,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Float[Tensor, "B C *spatial"]:
    """dL/dx from dL/dy; `size` is the spatial axes of x in pixels, the rest as given to `mean_pool`."""
    place = pool_windows(size, kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode)
    share = dy / _counted(place, dy, padded=count_include_pad)
    entries = torch.Size(place.kernel).numel()
    return place.fold(share[..., None].expand(*share.shape, entries))


def _counted(place: PoolWindows, like: Tensor, *, padded: bool) -> Tensor:
    """N[o] for every window, with the type and device of `like`."""
    count = torch.ones((), dtype=like.dtype, device=like.device)
    for n, k, s, p, m in zip(place.size, place.kernel, place.stride, place.padding, place.out, strict=True):
        start = torch.arange(m, device=like.device) * s - p
        end = start + k
        pixels = end.clamp(max=n + p) - start if padded else end.clamp(max=n) - start.clamp(min=0)
        count = count[..., None] * pixels
    return count


def demonstrate() -> str:
    """A 4x4 picture under 2x2 windows; then the corner of a padded 3x3 one, counted both ways."""
    x = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    dy = torch.tensor([[[[4.0, 8.0], [12.0, 16.0]]]])
    corner = [mean_pool(x, 3, stride=1, padding=1, count_include_pad=c)[0, 0, 0, 0].item() for c in (True, False)]
    return "\n".join(
        [
            "Mean pooling, 2x2 windows, stride 2",
            "x",
            show(x[0, 0]),
            "y: for example (1 + 2 + 5 + 6)/4 = 3.5",
            show(mean_pool(x, 2)[0, 0]),
            "dL/dy",
            show(dy[0, 0]),
            "dL/dx: a quarter of each error to each of its four pixels",
            show(mean_pool_pullback(dy, (4, 4), 2)[0, 0]),
            "A 3x3 window centred on the first pixel, one pixel of padding: 1 + 2 + 5 + 6 = 14 on four real pixels",
            f"  count_include_pad=True:  14/9 = {corner[0]:.4f}",
            f"  count_include_pad=False: 14/4 = {corner[1]:.4f}",
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
