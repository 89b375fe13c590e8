"""The pictures of a split, wherever they are kept: `gather` makes a batch of some of them."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

Rows = Int64[np.ndarray, " B"]
Pixels = Shaped[np.ndarray, "N h w C"]  # channels last, as they are read back in batches
Batch = Shaped[Tensor, "B C h w"]


@runtime_checkable
class Pictures(Protocol):
    """Pictures of one size and kind."""

    def __len__(self) -> int: ...

    def gather(self, rows: Rows) -> Batch:
        """The pictures at these positions, in a tensor of their own, channels last in memory."""
        ...

    def close(self) -> None:
        """Let go of what gives them, such as worker processes."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Pictures in memory."""

    pixels: Pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def gather(self, rows: Rows) -> Batch:
        """Copied, whole pictures at a time."""
        return _as_batch(self.pixels.take(rows, axis=0))

    def close(self) -> None:
        """Nothing to let go of."""


@dataclass(frozen=True, slots=True, eq=False)
class Shelved:
    """Pictures in memory-mapped files.

    Args:
        segments: the files' pixels.
        segment: which of them holds each picture.
        row: where in it.
    """

    segments: tuple[Shaped[np.ndarray, "_ h w C"], ...]
    segment: Int64[np.ndarray, " N"]
    row: Int64[np.ndarray, " N"]

    def __len__(self) -> int:
        return len(self.row)

    def gather(self, rows: Rows) -> Batch:
        """Copied from the files; the system keeps in memory what it has room for."""
        segment, row = self.segment[rows], self.row[rows]
        present = np.unique(segment)
        if len(present) == 1:
            return _as_batch(self.segments[present[0]].take(row, axis=0))
        first = self.segments[0]
        pixels = np.empty((len(rows), *first.shape[1:]), first.dtype)
        for number in present:
            chosen = segment == number
            pixels[chosen] = self.segments[number].take(row[chosen], axis=0)
        return _as_batch(pixels)

    def close(self) -> None:
        """Nothing: the files are let go of with the last batch."""


def lying(pictures: Pictures, rows: Rows) -> Shelved:
    """The pictures at these positions where they lie, without a copy; those that lie nowhere yet are decoded."""
    if isinstance(pictures, Shelved):
        return Shelved(pictures.segments, pictures.segment[rows], pictures.row[rows])
    if isinstance(pictures, Held) and pictures.pixels.flags.c_contiguous:
        return Shelved((pictures.pixels,), np.zeros_like(rows), rows)
    pixels = pictures.gather(rows).permute(0, 2, 3, 1).contiguous().numpy()
    return Shelved((pixels,), np.zeros_like(rows), np.arange(len(rows)))


def _as_batch(pixels: np.ndarray) -> Batch:
    return torch.from_numpy(np.asarray(pixels)).permute(0, 3, 1, 2)
