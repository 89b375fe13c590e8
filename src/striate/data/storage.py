"""Where decoded pictures are kept: on a shelf of the disk, in memory, or nowhere, decoded anew for every batch."""

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from striate.base.errors import ResourceError
from striate.data.decode import Fault
from striate.data.items import ArrayItems, content_digest
from striate.data.picture import Picture
from striate.data.pictures import Held, Pictures, Shelved
from striate.data.reading import Read, read_all
from striate.data.samples import Samples
from striate.data.shelf import Shelf, filling, open_shelf

Mode = Literal["auto", "disk", "memory", "stream"]
Tick = Callable[[], None]  # called once a sample
SHARE_OF_FREE = 0.9  # of the disk's free room that decoded pictures may take
SHARE_OF_MEMORY = 0.5


@dataclass(frozen=True, slots=True)
class Storage:
    """How decoded pictures are kept.

    Args:
        mode: on disk, in memory, not at all (stream), or what fits (auto).
        folder: of the shelves on disk.
        limit: bytes that all shelves may take together.
    """

    mode: Mode
    folder: Path
    limit: int


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A part of the data, read.

    Args:
        samples: those that are good.
        pictures: of them.
        digests: of their contents.
        faults: of the others.
    """

    samples: Samples
    pictures: Pictures
    digests: tuple[bytes, ...]
    faults: tuple[Fault, ...]


def load(samples: Samples, picture: Picture, storage: Storage, data: str, tick: Tick) -> tuple[Loaded, str | None]:
    """Read a part, decode what nobody has decoded yet, and keep it.

    Args:
        samples: what to read.
        picture: what every image is brought to.
        storage: how it is kept.
        data: where the data lie, to tell shelves apart.
        tick: called once a sample.

    Returns:
        The part, and a note if it is kept in another way than first chosen.

    Raises:
        ResourceError: there is no room where it was asked to be kept.
    """
    mode = choose(samples, picture, storage)
    if mode == "disk":
        try:
            return _on_disk(samples, picture, open_shelf(storage.folder, data, picture, storage.limit), tick), None
        except ResourceError as error:
            if storage.mode == "disk":
                raise
            note = f"decoded pictures are not kept on disk: {error.got}"
            return _in_memory(samples, picture, tick), note
    return _in_memory(samples, picture, tick), None


def choose(samples: Samples, picture: Picture, storage: Storage) -> Mode:
    """How these samples are kept.

    Raises:
        ResourceError: memory was asked for and they do not fit.
    """
    size = bytes_of(len(samples), picture)
    if isinstance(samples.items, ArrayItems) or storage.mode == "memory":
        _check_memory(size, len(samples), picture)
        return "memory"
    if storage.mode != "auto":
        return storage.mode
    return "disk" if size <= min(storage.limit, SHARE_OF_FREE * _free(storage.folder)) else "stream"


def bytes_of(count: int, picture: Picture) -> int:
    """What so many decoded pictures take."""
    C, h, w = picture.shape
    return count * C * h * w * np.dtype(picture.kind).itemsize


def _in_memory(samples: Samples, picture: Picture, tick: Tick) -> Loaded:
    if isinstance(samples.items, ArrayItems) and _fits(samples.items.array, picture):
        return _as_it_is(samples, samples.items.array, picture, tick)
    C, h, w = picture.shape
    pixels = np.empty((len(samples), h, w, C), np.dtype(picture.kind))
    reads: list[Read] = []
    good = 0
    for read in read_all(samples, picture):
        if read.pixels is not None:
            pixels[good] = read.pixels
            good += 1
        reads.append(Read(read.digest, None, read.fault))
        tick()
    return _loaded(samples, reads, Held(pixels[:good]))


def _fits(array: np.ndarray, picture: Picture) -> bool:
    C, h, w = picture.shape
    return array.dtype == picture.kind and array.shape[1:] in ((h, w, C), (h, w) if C == 1 else None)


def _as_it_is(samples: Samples, array: np.ndarray, picture: Picture, tick: Tick) -> Loaded:
    """An array that needs no fitting: 60,000 digits are not asked one by one."""
    digests = []
    for item in array:
        digests.append(content_digest(item))
        tick()
    return Loaded(samples, Held(array.reshape(len(array), *_row(picture))), tuple(digests), ())


def _on_disk(samples: Samples, picture: Picture, shelf: Shelf, tick: Tick) -> Loaded:
    reads: list[Read] = []
    added: set[bytes] = set()
    with ExitStack() as stack:
        segment = None
        for read in read_all(samples, picture, shelf.places):
            if read.pixels is not None and segment is None:  # the first that is new
                stack.enter_context(filling(shelf))
                segment = stack.enter_context(shelf.adding(len(samples) - len(reads)))
            if segment and read.pixels is not None and read.digest not in added and read.digest not in shelf.places:
                segment.add(read.digest, read.pixels)
                added.add(read.digest)
            reads.append(Read(read.digest, None, read.fault))
            tick()
    shelf.refresh()
    places = np.array([shelf.places[read.digest] for read in reads if read.fault is None], np.int64).reshape(-1, 2)
    empty = np.empty((0, *_row(picture)), np.dtype(picture.kind))
    return _loaded(samples, reads, Shelved(tuple(shelf.segments) or (empty,), places[:, 0], places[:, 1]))


def _row(picture: Picture) -> tuple[int, int, int]:
    C, h, w = picture.shape
    return h, w, C


def _loaded(samples: Samples, reads: Sequence[Read], pictures: Pictures) -> Loaded:
    faults = tuple(read.fault for read in reads if read.fault is not None)
    good = [row for row, read in enumerate(reads) if read.fault is None]
    kept = samples.pick(np.array(good, dtype=np.int64)) if faults else samples
    return Loaded(kept, pictures, tuple(reads[row].digest for row in good), faults)


def _check_memory(size: int, count: int, picture: Picture) -> None:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else size
    if size > physical:
        got = f"{size / 2**30:.1f} GiB for {count} pictures of {picture.height}x{picture.width}"
        fix = "choose a smaller picture or fewer pictures"
        raise ResourceError("data", "the decoded pictures", f"at most {physical / 2**30:.1f} GiB", got=got, fix=fix)


def _free(folder: Path) -> int:
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return shutil.disk_usage(place).free
