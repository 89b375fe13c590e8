"""The numbers of a split, read once and exactly, in memory that does not grow with it.

    h_c(v): how many pixels of channel c have byte v        n = sum_v h_c(v)
    mean_c = S / (255 n)     std_c = sqrt(n Q - S^2) / (255 n)     S = sum_v v h_c(v),  Q = sum_v v^2 h_c(v)

in whole numbers until the last division: every pixel of every picture at its own size counts once.
"""

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Int64

from striate.data.decode import DecodeFault, Fault, decode
from striate.data.items import ArrayItems
from striate.data.samples import Samples, Source

Progress = Callable[[int, int], None]
Histogram = Int64[np.ndarray, "C 256"]
Read = tuple[Histogram, tuple[int, int], int, int]  # of some pictures of one size: pixels, (h, w), bytes, how many

_PIECE = 1024  # pictures of an array at a time


@dataclass(frozen=True, slots=True)
class Statistics:
    """What `measure` found.

    Args:
        location, split: what was measured.
        pictures: readable ones, on which all numbers rest.
        channels: 1 or 3 (grey counts thrice among colour), or what arrays hold.
        mean, std: per channel, of pixels in [0, 1], every pixel counting once.
        classes: name -> split -> pictures, of all splits, readable or not.
        sizes: "height x width" -> pictures, the most frequent first.
        bytes: of the files as stored, or of the arrays.
        seconds: that reading took.
        faults: what could not be read and is left out.
    """

    location: str
    split: str
    pictures: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: dict[str, dict[str, int]]
    sizes: dict[str, int]
    bytes: int
    seconds: float
    faults: tuple[Fault, ...]

    @property
    def images_per_second(self) -> float:
        """How fast pictures were read."""
        return self.pictures / max(self.seconds, 1e-9)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for one JSON object."""
        return asdict(self) | {"images_per_second": self.images_per_second}


def measure(source: Source, split: str, progress: Progress | None = None) -> Statistics:
    """Read a split and measure it.

    Args:
        source: what `open_source` found.
        split: one of its parts.
        progress: called with (pictures done, pictures in all).
    """
    start = time.perf_counter()
    samples, channels = source.parts[split], source.channels
    total, pixels, stored, done = np.zeros((channels, 256), dtype=np.int64), 0, 0, 0
    sizes: Counter[tuple[int, int]] = Counter()
    faults: list[Fault] = []
    for found in _read(samples, channels):
        if isinstance(found, Fault):
            faults.append(found)
            done += 1
        else:
            histogram, size, length, many = found
            total += histogram
            sizes[size] += many
            stored += length
            done += many
        if progress is not None:
            progress(done, len(samples))
    mean, std = moments(total)
    pixels = sum(sizes.values())
    return Statistics(
        location=source.location,
        split=split,
        pictures=pixels,
        channels=channels,
        mean=mean,
        std=std,
        classes=_classes(source),
        sizes={f"{h}x{w}": many for (h, w), many in sizes.most_common()},
        bytes=stored,
        seconds=time.perf_counter() - start,
        faults=tuple(faults),
    )


def moments(histogram: Histogram) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and the population's standard deviation of each channel in [0, 1] units; 0 of no pixels.

    >>> moments(np.eye(256, dtype=np.int64)[[0]] + np.eye(256, dtype=np.int64)[[255]])
    ((0.5,), (0.5,))
    """
    means, spreads = [], []
    for counts in histogram.tolist():  # Python's whole numbers do not overflow
        n = max(1, sum(counts))
        s = sum(v * count for v, count in enumerate(counts))
        q = sum(v * v * count for v, count in enumerate(counts))
        means.append(s / (255 * n))
        spreads.append(math.sqrt(n * q - s * s) / (255 * n))
    return tuple(means), tuple(spreads)


def _read(samples: Samples, channels: int) -> Iterator[Read | Fault]:
    if isinstance(samples.items, ArrayItems):
        yield from _read_array(samples.items.array)
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            yield from pool.map(partial(_read_one, samples, channels), range(len(samples)))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _read_array(array: np.ndarray) -> Iterator[Read]:
    N, H, W = array.shape[:3]
    planes = array.reshape(N, H, W, -1)
    for start in range(0, N, _PIECE):
        part = planes[start : start + _PIECE]
        yield _histogram(part), (H, W), part.nbytes, len(part)


def _histogram(pixels: np.ndarray) -> Histogram:
    """Of pixels (..., C)."""
    return np.stack([np.bincount(pixels[..., c].ravel(), minlength=256) for c in range(pixels.shape[-1])])


def _read_one(samples: Samples, channels: int, row: int) -> Read | Fault:
    name = samples.names[row]
    try:
        content = samples.items.content(row, name)
        if isinstance(content, np.ndarray):
            return next(_read_array(content[None]))
        image = decode(content, name)
    except DecodeFault as error:
        return error.fault
    counts = np.array(image.histogram(), dtype=np.int64).reshape(-1, 256)
    return np.repeat(counts, channels // len(counts), axis=0), (image.height, image.width), len(content), 1


def _classes(source: Source) -> dict[str, dict[str, int]]:
    counts = {part: np.bincount(s.labels, minlength=len(source.classes)) for part, s in source.parts.items()}
    return {name: {part: int(counts[part][i]) for part in counts} for i, name in enumerate(source.classes)}
