"""Mean and standard deviation of a training set's pixels, exact for whole numbers until the last division.

    mean = S / (w n)        std = sqrt(n Q - S^2) / (w n)        S = sum v, Q = sum v^2 over n numbers

per channel, over every picture; w is 255 for bytes and 65535 for 16 bits, so both are in [0, 1] units; the population's
standard deviation.  Floating point has w = 1 and goes through `striate.calculus.moments` in float64, since S and Q
would cancel there.
"""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from striate.calculus.moments import Moments, marginal_moments, merge, pixel_rows
from striate.data.kinds import WHITE, Kind
from striate.data.tensor_kinds import Images

_NUMBERS = 1 << 24  # at a time: the widened copy stays small

MeanStd = tuple[tuple[float, ...], tuple[float, ...]]


def mean_std(images: Images | Iterable[Images]) -> MeanStd:
    """Mean and standard deviation per channel.

    A channel that never changes gets std 1: it is centred to 0, where dividing by its true 0 would give NaN.

    Args:
        images: the whole training split, N >= 1, or batches of it, all of one kind, one in memory at a time.

    >>> mean_std(torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1))
    ((0.5,), (0.5,))
    """
    batches = [images] if isinstance(images, Tensor) else images
    chunks = iter(part for batch in batches for part in chunked(batch))
    first = next(chunks, None)
    assert first is not None, "no pictures to measure"
    if first.dtype == torch.float32:
        return _of_floats(first, chunks)
    return _of_whole_numbers(first, chunks, "uint8" if first.dtype == torch.uint8 else "uint16")


def chunked(images: Images, numbers: int = _NUMBERS) -> Iterator[Images]:
    """The pictures, some at a time: as many as hold so many numbers, and at least one."""
    rows = max(1, numbers * len(images) // max(1, images.numel()))
    for start in range(0, len(images), rows):
        yield images[start : start + rows]


def _of_whole_numbers(first: Images, rest: Iterable[Images], kind: Kind) -> MeanStd:
    count, sums, squares = _sums(first)
    for chunk in rest:
        assert chunk.dtype == first.dtype, f"{chunk.dtype} among {first.dtype}"
        more, s, q = _sums(chunk)
        count += more
        sums = [a + b for a, b in zip(sums, s, strict=True)]  # Python's numbers: no sum is too large
        squares = [a + b for a, b in zip(squares, q, strict=True)]
    whole = WHITE[kind] * count
    mean = tuple(s / whole for s in sums)
    spread = (math.sqrt(count * q - s * s) / whole for s, q in zip(sums, squares, strict=True))
    return mean, tuple(value or 1.0 for value in spread)


def _sums(images: Images) -> tuple[int, list[int], list[int]]:
    """How many numbers a channel has, their sums and the sums of their squares."""
    wide = images.to(torch.int32 if images.dtype == torch.uint8 else torch.int64)  # 16 bits squared are 32
    sums = wide.sum((0, 2, 3), dtype=torch.int64)
    squares = wide.square_().sum((0, 2, 3), dtype=torch.int64)
    return images.numel() // images.shape[1], sums.tolist(), squares.tolist()


def _of_floats(first: Images, rest: Iterable[Images]) -> MeanStd:
    total: Moments = marginal_moments(pixel_rows(first))
    for chunk in rest:
        assert chunk.dtype == first.dtype, f"{chunk.dtype} among {first.dtype}"
        total = merge(total, marginal_moments(pixel_rows(chunk)))
    spread = (total.scatter / total.count).sqrt().tolist()
    return tuple(total.mean.tolist()), tuple(value or 1.0 for value in spread)
