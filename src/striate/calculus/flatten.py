"""Flatten: a feature map read row by row, channel after channel, as one vector.

    y[b, (c H + h) W + w] = x[b, c, h, w]        dL/dx is dL/dy, folded back

No number changes; the step between convolutions and fully connected layers.  The order is row-major, as NumPy's
(Harris et al. 2020, arXiv:2006.10256) and torch's.
"""

from jaxtyping import Float
from torch import Tensor


def flatten(x: Float[Tensor, "B *sample"]) -> Float[Tensor, "B F"]:
    """All axes of a sample in one, the last axis running fastest."""
    return x.reshape(x.shape[0], x.shape[1:].numel())  # not -1: an empty batch has no size to infer


def flatten_pullback(dy: Float[Tensor, "B F"], sample: tuple[int, ...]) -> Float[Tensor, "B *sample"]:
    """dL/dx from dL/dy.

    Args:
        dy: error of the vectors.
        sample: the axes of one sample, such as (C, H, W).
    """
    return dy.reshape(dy.shape[0], *sample)
