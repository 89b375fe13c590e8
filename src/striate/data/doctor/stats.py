"""The numbers of a split, read once and exactly, in memory that does not grow with it.

    h_c(v): how many pixels of channel c have value v        n = sum_v h_c(v)
    mean_c = S / (w n)     std_c = sqrt(n Q - S^2) / (w n)     S = sum_v v h_c(v),  Q = sum_v v^2 h_c(v)

in whole numbers until the last division, w = 255 for bytes and 65535 for 16 bits: every pixel of every picture at its
own size counts once.  Floating point is merged picture by picture in float64, M the sum of squared deviations:

    d = mean_b - mean_a     mean = mean_a + d n_b / n     M = M_a + M_b + d^2 n_a n_b / n     n = n_a + n_b

T. F. Chan, G. H. Golub and R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances",
1979.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from striate.base.errors import DataError
from striate.data.decode import DecodeFault, Fault
from striate.data.doctor.visible import raster_of
from striate.data.items import ArrayItems
from striate.data.kinds import WHITE, Kind
from striate.data.raster import to_channels, to_kind
from striate.data.reading import ordered
from striate.data.samples import Samples, Source

Progress = Callable[[int, int], None]
Histogram = Int64[np.ndarray, "C V"]  # V values: 256, or 65536
Spread = tuple[int, Float64[np.ndarray, " C"], Float64[np.ndarray, " C"]]  # n, mean, M
Measured = Histogram | Spread
Read = tuple[Measured, tuple[int, int], int, int]  # of some pictures of one size: numbers, (h, w), bytes, how many
MeanStd = tuple[tuple[float, ...], tuple[float, ...]]

_PIECE = 1024  # pictures of an array at a time
_NUMBERS = 1 << 20  # of a channel at a time


@dataclass(frozen=True, slots=True)
class Statistics:
    """What `measure` found.

    Args:
        location, split: what was measured.
        pictures: readable ones, on which all numbers rest.
        channels: 1 or 3 (grey counts thrice among colour), or what arrays hold.
        mean, std: per channel, of pixels in [0, 1] (floating point as it is), every pixel counting once.
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
    total: Measured | None = None
    stored = done = 0
    sizes: Counter[tuple[int, int]] = Counter()
    faults: list[Fault] = []
    for found in _read(samples, channels, source.kind):
        if isinstance(found, Fault):
            faults.append(found)
            done += 1
        else:
            measured, size, length, many = found
            total = measured if total is None else _merged(total, measured)
            sizes[size] += many
            stored += length
            done += many
        if progress is not None:
            progress(done, len(samples))
    mean, std = moments(total, source.kind) if total is not None else ((0.0,) * channels,) * 2
    return Statistics(
        location=source.location,
        split=split,
        pictures=sum(sizes.values()),
        channels=channels,
        mean=mean,
        std=std,
        classes=_classes(source),
        sizes={f"{h}x{w}": many for (h, w), many in sizes.most_common()},
        bytes=stored,
        seconds=time.perf_counter() - start,
        faults=tuple(faults),
    )


def moments(measured: Measured, kind: Kind = "uint8") -> MeanStd:
    """Mean and the population's standard deviation of each channel.

    >>> moments(np.eye(256, dtype=np.int64)[[0]] + np.eye(256, dtype=np.int64)[[255]])
    ((0.5,), (0.5,))
    """
    if isinstance(measured, tuple):
        n, mean, scatter = measured
        return tuple(mean.tolist()), tuple(np.sqrt(scatter / n).tolist())
    means, spreads = [], []
    for counts in measured.tolist():  # Python's whole numbers do not overflow
        n, w = sum(counts), WHITE[kind]
        s = sum(v * count for v, count in enumerate(counts))
        q = sum(v * v * count for v, count in enumerate(counts))
        means.append(s / (w * n))
        spreads.append(math.sqrt(n * q - s * s) / (w * n))
    return tuple(means), tuple(spreads)


def _merged(a: Measured, b: Measured) -> Measured:
    if isinstance(a, tuple) and isinstance(b, tuple):
        n = a[0] + b[0]
        d = b[1] - a[1]
        return n, a[1] + d * (b[0] / n), a[2] + b[2] + d * d * (a[0] * b[0] / n)
    assert isinstance(a, np.ndarray)
    assert isinstance(b, np.ndarray)
    return a + b


def _measured(pixels: np.ndarray) -> Measured:
    """Of pixels (..., C)."""
    columns = pixels.reshape(-1, pixels.shape[-1])
    if pixels.dtype == np.float32:
        wide = columns.astype(np.float64)
        mean = wide.mean(0)
        return len(wide), mean, ((wide - mean) ** 2).sum(0)
    total = np.zeros((columns.shape[1], 256 if pixels.dtype == np.uint8 else 65_536), dtype=np.int64)
    for start in range(0, len(columns), _NUMBERS):  # counting widens to 8 bytes a number
        for counts, column in zip(total, columns[start : start + _NUMBERS].T, strict=True):
            counts += np.bincount(column, minlength=len(counts))
    return total


def _read(samples: Samples, channels: int, kind: Kind) -> Iterator[Read | Fault]:
    if isinstance(samples.items, ArrayItems):
        return _read_array(samples.items.array)
    return ordered(partial(_read_one, samples, channels, kind), len(samples))


def _read_array(array: np.ndarray) -> Iterator[Read]:
    N, H, W = array.shape[:3]
    planes = array.reshape(N, H, W, -1)
    for start in range(0, N, _PIECE):
        part = planes[start : start + _PIECE]
        yield _measured(part), (H, W), part.nbytes, len(part)


def _read_one(samples: Samples, channels: int, kind: Kind, row: int) -> Read | Fault:
    name = samples.names[row]
    try:
        content = samples.items.content(row, name)
        raster = raster_of(content, name)
        pixels = to_channels(to_kind(raster.pixels, kind), raster.layers, channels)
    except DecodeFault as error:
        return error.fault
    except DataError as error:
        return Fault(name, "pixels", f"{error.what} must be {error.must}, got {error.got}")
    length = len(content) if isinstance(content, bytes) else raster.pixels.nbytes
    return _measured(np.broadcast_to(pixels, (*pixels.shape[:2], channels))), raster.size, length, 1


def _classes(source: Source) -> dict[str, dict[str, int]]:
    counts = {part: np.bincount(s.labels, minlength=len(source.classes)) for part, s in source.parts.items()}
    return {name: {part: int(counts[part][i]) for part in counts} for i, name in enumerate(source.classes)}
