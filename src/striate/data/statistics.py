"""Mean and standard deviation of a training set's pixels, exact: whole numbers until the last division.

    mean = S / (255 n)        std = sqrt(n Q - S^2) / (255 n)        S = sum v, Q = sum v^2 over n bytes

per channel, over every picture; the population's standard deviation, in [0, 1] units.
"""

import math

import torch
from jaxtyping import UInt8
from torch import Tensor

_CHUNK = 4096  # pictures at a time: the widened copy stays small


def mean_std(images: UInt8[Tensor, "N C H W"]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel.

    A channel that never changes gets std 1: it is centred to 0, where dividing by its true 0 would give NaN.

    Args:
        images: the whole training split, N >= 1.

    >>> mean_std(torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1))
    ((0.5,), (0.5,))
    """
    assert images.numel() > 0, "no pictures to measure"
    sums, squares = _moments(images)
    n = images.numel() // images.shape[1]
    mean = tuple(s / (255 * n) for s in sums)
    spread = (math.sqrt(n * q - s * s) / (255 * n) for s, q in zip(sums, squares, strict=True))
    return mean, tuple(value or 1.0 for value in spread)


def _moments(images: UInt8[Tensor, "N C H W"]) -> tuple[list[int], list[int]]:
    sums = torch.zeros(images.shape[1], dtype=torch.int64, device=images.device)
    squares = torch.zeros_like(sums)
    for start in range(0, len(images), _CHUNK):
        wide = images[start : start + _CHUNK].to(torch.int32)
        sums += wide.sum((0, 2, 3), dtype=torch.int64)
        squares += wide.square_().sum((0, 2, 3), dtype=torch.int64)
    return sums.tolist(), squares.tolist()
