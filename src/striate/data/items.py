"""What samples are before they are decoded: files, or pictures in an array; each gives its content, one at a time."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from striate.data.faults import DecodeFault, read_file
from striate.data.raster import Raster

Content = bytes | np.ndarray | Raster  # the bytes of a picture file, pixels H W or H W C, or a decoded image
Rows = Int64[np.ndarray, " K"]


def content_digest(content: Content) -> bytes:
    """SHA-256 of the bytes of a file, or of the pixels."""
    pixels = content.pixels if isinstance(content, Raster) else content
    return hashlib.sha256(pixels if isinstance(pixels, bytes) else pixels.tobytes()).digest()


@runtime_checkable
class Items(Protocol):
    """Samples in their order, wherever they lie."""

    def __len__(self) -> int: ...

    def content(self, row: int, name: str) -> Content:
        """What this sample holds, read now.

        Args:
            row: its position.
            name: what to call it in a fault.

        Raises:
            DecodeFault: it cannot be read.
        """
        ...

    def pick(self, rows: Rows) -> "Items":
        """The samples at these positions, in this order."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class FileItems:
    """One picture file a sample."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def content(self, row: int, name: str) -> Content:
        """The file's bytes."""
        return read_file(self.paths[row], name)

    def pick(self, rows: Rows) -> "FileItems":
        """The files at these positions."""
        return FileItems(tuple(self.paths[i] for i in rows))


@dataclass(frozen=True, slots=True, eq=False)
class KnownItems:
    """Samples whose contents were seen before and must be the same now.

    Args:
        items: what gives them.
        digests: of their contents.
    """

    items: Items
    digests: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.items)

    def content(self, row: int, name: str) -> Content:
        """What the sample holds.

        Raises:
            DecodeFault: it cannot be read, or holds something else.
        """
        content = self.items.content(row, name)
        if content_digest(content) != self.digests[row]:
            raise DecodeFault(name, "damaged", "changed since the run first read it")
        return content

    def pick(self, rows: Rows) -> "KnownItems":
        """The samples at these positions."""
        return KnownItems(self.items.pick(rows), tuple(self.digests[i] for i in rows))


@dataclass(frozen=True, slots=True, eq=False)
class ArrayItems:
    """Pictures of one size in memory.

    Args:
        array: N H W or N H W C.
    """

    array: np.ndarray

    def __len__(self) -> int:
        return len(self.array)

    def content(self, row: int, name: str) -> Content:  # noqa: ARG002 - nothing can fail here
        """Its pixels."""
        return self.array[row]

    def pick(self, rows: Rows) -> "ArrayItems":
        """A copy of the pictures at these positions."""
        return ArrayItems(self.array[rows])
