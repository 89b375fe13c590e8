"""Max pooling: every window answers with its largest number, and with where it was.

    y[o] = max_k x[s o - p + d k]        i[o] = the pixel of that maximum; of equals, the first in row-major order

    dL/dx[j] = sum over the windows o with i[o] = j of dL/dy[o]

so the error is routed to the winners, and all other pixels receive 0.  Padding is -inf and never wins.
Of several NaNs in a window the index is the first one's; torch's is the last one's.
Ranzato, Huang, Boureau and LeCun, CVPR 2007; Scherer, Müller and Behnke, ICANN 2010, section 3.1.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.calculus.pool_windows import Size, pool_windows, route, show


def max_pool(
    x: Float[Tensor, "B C *spatial"],
    kernel_size: Size,
    *,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> tuple[Float[Tensor, "B C *out"], Int[Tensor, "B C *out"]]:
    """The largest number of each window and its pixel, numbered row-major over the spatial axes, as torch does.

    >>> values, indices = max_pool(torch.tensor([[[1.0, 5.0, 5.0, 2.0]]]), 2)
    >>> values.tolist(), indices.tolist()
    ([[[5.0, 5.0]]], [[[1, 2]]])
    """
    place = pool_windows(
        tuple(x.shape[2:]), kernel_size, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode
    )
    values, entry = place.view(x, fill=-torch.inf).max(-1)
    return values, place.pixel(entry)


def max_pool_pullback(
    dy: Float[Tensor, "B C *out"], indices: Int[Tensor, "B C *out"], size: tuple[int, ...]
) -> Float[Tensor, "B C *spatial"]:
    """dL/dx from dL/dy.

    Args:
        dy: error of the pooled maps.
        indices: the winners, from `max_pool`.
        size: spatial axes of x, in pixels.
    """
    return route(dy, indices, size)


def demonstrate() -> str:
    """A 4x4 picture under 2x2 windows, forward and backward."""
    x = torch.tensor([[1.0, 3.0, 2.0, 2.0], [5.0, 4.0, 2.0, 0.0], [0.0, 1.0, 7.0, 6.0], [1.0, 0.0, 8.0, 9.0]])
    y, indices = max_pool(x[None, None], 2)
    dy = torch.tensor([[10.0, 20.0], [30.0, 40.0]])
    dx = max_pool_pullback(dy[None, None], indices, (4, 4))[0, 0]
    return "\n".join(
        [
            "Max pooling, 2x2 windows, stride 2",
            "x",
            show(x),
            "y: the largest of each window, for example max(1, 3, 5, 4) = 5",
            show(y[0, 0]),
            "its pixel, counted row by row from 0 (of the three 2s, the first)",
            show(indices[0, 0]),
            "dL/dy",
            show(dy),
            "dL/dx: each error goes to its winner, nothing to the others",
            show(dx),
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
