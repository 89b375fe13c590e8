"""Pictures decoded once: files of fitted pixels that are mapped into memory, known by the digest of what was decoded.

    <folder>/<settings and data>/<segment>/pixels.bin    one row a picture, h w C numbers
                                           digests.bin   SHA-256 of what was decoded, 32 bytes a row
                                           checks.bin    CRC-32 of each row, 4 bytes

A segment is written under another name and renamed when it is whole; it never changes afterwards.  A row whose check
does not hold is as good as absent.  The shelves that were used longest ago go when a new segment needs their room;
whoever still reads one keeps it until he ends.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np
import PIL

from striate.base.errors import ResourceError
from striate.base.files import clean_temporaries, make_folder, resource_errors
from striate.data.picture import Picture
from striate.data.pictures import Pixels

FORMAT = 1  # of the files; another one makes another shelf
DIGEST, CHECK = 32, 4  # bytes
VERIFIED_AT_ONCE = 64  # rows

Place = tuple[int, int]  # segment, row


@dataclass(slots=True)
class Shelf:
    """The decoded pictures of one data set at one setting.

    Args:
        folder: its own.
        picture: what every row is.
        limit: bytes that all shelves beside it may take together.
        segments: pixels of each.
        places: where each digest lies.
        names: of the segments that are known.
    """

    folder: Path
    picture: Picture
    limit: int
    segments: list[Pixels] = field(default_factory=list)
    places: dict[bytes, Place] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def refresh(self) -> None:
        """Take in the segments that others have finished."""
        for path in sorted(p for p in self.folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
            if path.name not in self.names:
                self._take_in(path)

    def _take_in(self, path: Path) -> None:
        C, h, w = self.picture.shape
        shape, kind = (h, w, C), np.dtype(self.picture.kind)
        self.names.add(path.name)
        try:
            digests = (path / "digests.bin").read_bytes()
            sums = (path / "checks.bin").read_bytes()
            count, size = len(digests) // DIGEST, (path / "pixels.bin").stat().st_size
            lengths = (len(digests), len(sums), size)
            if not count or lengths != (DIGEST * count, CHECK * count, count * h * w * C * kind.itemsize):
                return
            pixels = np.memmap(path / "pixels.bin", kind, "r", shape=(count, *shape))
        except OSError:  # cleared away in this moment
            return
        number = len(self.segments)
        self.segments.append(pixels)
        for row in np.flatnonzero(_sound(pixels, np.frombuffer(sums, np.uint32))).tolist():
            self.places.setdefault(digests[DIGEST * row : DIGEST * (row + 1)], (number, row))

    @contextmanager
    def adding(self, most: int) -> Iterator["Segment"]:
        """Add pictures: a segment to write into, kept if the block ends well and something was written.

        Args:
            most: pictures that may come.

        Raises:
            ResourceError: no room, or no permission.
        """
        C, h, w = self.picture.shape
        size = most * h * w * C * np.dtype(self.picture.kind).itemsize
        _make_room(self.folder, size, self.limit)
        with resource_errors(self.folder, size):
            path = self.folder / f".segment.tmp-{os.getpid()}"
            path.mkdir()
        try:
            with resource_errors(self.folder, size), Segment(path) as segment:
                yield segment
                segment.finish()
            if segment.checks:
                name = f"{time.time_ns():x}-{os.getpid()}"
                os.rename(path, self.folder / name)
        finally:
            shutil.rmtree(path, ignore_errors=True)


class Segment:
    """A segment that is being written, in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pixels = (folder / "pixels.bin").open("wb")
        self.digests = bytearray()
        self.checks: list[int] = []

    def __enter__(self) -> "Segment":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.pixels.close()

    def add(self, digest: bytes, pixels: np.ndarray) -> int:
        """Write one picture, h w C; returns its row."""
        row = np.ascontiguousarray(pixels)
        self.pixels.write(row.data)
        self.digests += digest
        self.checks.append(zlib.crc32(row.data))
        return len(self.checks) - 1

    def finish(self) -> None:
        """Write what tells the rows apart.  Nothing is forced to the disk: after a power cut the checks tell."""
        (self.folder / "digests.bin").write_bytes(self.digests)
        (self.folder / "checks.bin").write_bytes(np.array(self.checks, np.uint32).tobytes())
        self.pixels.flush()


def open_shelf(root: Path, data: str, picture: Picture, limit: int) -> Shelf:
    """The shelf of a data set and a picture, with what it holds already, every row checked.

    Args:
        root: the folder of all shelves.
        data: where the data lie.
        picture: what every image is brought to; the border is not stored.
        limit: bytes that all shelves may take together.

    Raises:
        ResourceError: the folder cannot be made.
    """
    stored = {key: value for key, value in asdict(picture).items() if key != "pad"}
    settings = json.dumps([FORMAT, PIL.__version__, stored, data], sort_keys=True)
    folder = root / hashlib.sha256(settings.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    make_folder(folder)
    with resource_errors(folder, 0):
        (folder / ".used").touch()
    clean_temporaries(folder)
    shelf = Shelf(folder, picture, limit)
    shelf.refresh()
    return shelf


@contextmanager
def filling(shelf: Shelf) -> Iterator[None]:
    """Fill a shelf, one process at a time: who comes second waits, and then finds what the first has done."""
    with resource_errors(shelf.folder, 0):
        file = (shelf.folder / ".lock").open("a+")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        shelf.refresh()
        yield


def _sound(pixels: Pixels, checks: np.ndarray) -> np.ndarray:
    """Which rows are as they were written, found on all cores: the checksum lets go of the interpreter."""

    def part(start: int) -> list[bool]:
        rows = range(start, min(start + VERIFIED_AT_ONCE, len(checks)))
        return [bool(zlib.crc32(pixels[row].data) == checks[row]) for row in rows]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.array([ok for found in pool.map(part, range(0, len(checks), VERIFIED_AT_ONCE)) for ok in found])


def _make_room(folder: Path, size: int, limit: int) -> None:
    """Clear the shelves away that were used longest ago until `size` bytes fit under the limit."""
    others = sorted((p for p in folder.parent.iterdir() if p.is_dir() and p != folder), key=_last_use)
    taken = {path: _size(path) for path in (*others, folder)}
    while others and sum(taken.values()) + size > limit:
        oldest = others.pop(0)
        shutil.rmtree(oldest, ignore_errors=True)
        del taken[oldest]
    if sum(taken.values()) + size > limit:
        raise ResourceError(
            "decoded pictures",
            "room",
            f"within execution.cache_gb ({limit / 1e9:g} GB)",
            got=f"{size / 1e9:.2f} GB more than the {sum(taken.values()) / 1e9:.2f} GB there",
            fix='raise execution.cache_gb, or decode anew in every epoch with execution.cache="stream"',
        )


def _last_use(path: Path) -> float:
    try:
        return (path / ".used").stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    total = 0
    for place, _, names in os.walk(path):
        for name in names:
            try:
                total += os.stat(os.path.join(place, name)).st_size
            except OSError:
                continue
    return total
