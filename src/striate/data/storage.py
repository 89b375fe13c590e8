"""Where decoded pictures are kept: on a shelf of the disk, in memory, or nowhere, decoded anew for every batch."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import PIL

from striate.base.errors import ResourceError
from striate.data.decode import Fault
from striate.data.decoders import Decoders
from striate.data.items import ArrayItems, FileItems, KnownItems, content_digest
from striate.data.members import MemberItems
from striate.data.picture import Picture
from striate.data.pictures import Held, Pictures, Shelved
from striate.data.reading import Read, read_all
from striate.data.remembered import forget, key_of, remembered, state_of
from striate.data.samples import Samples
from striate.data.shelf import Shelf, filling, open_shelf
from striate.data.streamed import Streamed

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
        workers: processes that decode where nothing is kept; 0 is one for each core.
    """

    mode: Mode
    folder: Path
    limit: int
    workers: int = 0


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


class Keeper:
    """What keeps the pictures of one data set: shelves and worker processes, one of each for a picture.

    The splits share them.  The processes end with the block if it fails; else they are the splits' to end.

    Args:
        storage: how pictures are kept.
        data: where the data lie, to tell shelves apart.
    """

    def __init__(self, storage: Storage, data: str) -> None:
        self.storage, self._data = storage, data
        self._shelves: dict[Picture, Shelf] = {}
        self._pools: dict[Picture, Decoders] = {}

    def __enter__(self) -> "Keeper":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for pool in self._pools.values() if kind else ():
            pool.close()

    def shelf(self, picture: Picture) -> Shelf:
        """The shelf of a picture, opened and checked when first asked for.

        Raises:
            ResourceError: its folder cannot be made.
        """
        if picture not in self._shelves:
            self._shelves[picture] = open_shelf(self.storage.folder, self._data, picture, self.storage.limit)
        return self._shelves[picture]

    def pool(self, picture: Picture) -> Decoders:
        """The processes that decode to a picture, begun when first asked for."""
        if picture not in self._pools:
            self._pools[picture] = Decoders(picture, self.storage.workers or os.cpu_count() or 1)
        return self._pools[picture]


def load(samples: Samples, picture: Picture, keeper: Keeper, tick: Tick) -> tuple[Loaded, str | None]:
    """Read a part, decode what nobody has decoded yet, and keep it.

    Args:
        samples: what to read.
        picture: what every image is brought to.
        keeper: what keeps it.
        tick: called once a sample.

    Returns:
        The part, and a note if it is kept in another way than first chosen.

    Raises:
        ResourceError: there is no room where it was asked to be kept.
    """
    mode = choose(samples, picture, keeper.storage)
    if mode == "disk":
        try:
            return _on_disk(samples, picture, keeper.shelf(picture), tick), None
        except ResourceError as error:
            if keeper.storage.mode == "disk":
                raise
            note = f"decoded pictures are not kept on disk: {error.got}"
            if bytes_of(len(samples), picture) <= SHARE_OF_MEMORY * physical_memory():
                return _in_memory(samples, picture, tick), note
            return _streamed(samples, picture, keeper, tick), note
    if mode == "stream":
        return _streamed(samples, picture, keeper, tick), None
    return _in_memory(samples, picture, tick), None


def choose(samples: Samples, picture: Picture, storage: Storage) -> Mode:
    """How these samples are kept.

    Raises:
        ResourceError: memory was asked for and they do not fit.
    """
    size = bytes_of(len(samples), picture)
    streamable = isinstance(samples.items, FileItems | MemberItems)  # other processes can read these
    held = isinstance(samples.items, ArrayItems) or (storage.mode == "stream" and not streamable)
    if held or storage.mode == "memory":
        _check_memory(size, len(samples), picture)
        return "memory"
    if storage.mode != "auto":
        return storage.mode
    if size <= min(storage.limit, SHARE_OF_FREE * _free(storage.folder)):
        return "disk"
    return "stream" if streamable else "memory"


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
    kept, digests, faults = _sorted_out(samples, reads)
    return Loaded(kept, Held(pixels[: len(kept)]), digests, faults)


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
    kept, digests, faults = _sorted_out(samples, reads)
    places = np.array([shelf.places[digest] for digest in digests], np.int64).reshape(-1, 2)
    empty = np.empty((0, *_row(picture)), np.dtype(picture.kind))
    pictures = Shelved(tuple(shelf.segments) or (empty,), places[:, 0], places[:, 1])
    return Loaded(kept, pictures, digests, faults)


def _streamed(samples: Samples, picture: Picture, keeper: Keeper, tick: Tick) -> Loaded:
    """Every picture decoded once to see that it can be, and again whenever it is asked for.

    The first pass is left out where files of the same paths, sizes and times of change have passed it before.
    """

    def first_pass() -> bytes:
        found = []
        for read in read_all(samples, picture):
            found.append([read.digest.hex(), None if read.fault is None else [read.fault.kind, read.fault.reason]])
            tick()
        return json.dumps(found).encode()

    state = state_of(samples.items)
    settings = [state, asdict(picture), PIL.__version__, list(samples.names)]
    seen, key = keeper.storage.folder / "seen", key_of(settings)
    found = json.loads(remembered(seen, key, first_pass) if state else first_pass())
    reads = [
        Read(bytes.fromhex(digest), None, None if told is None else Fault(name, *told))
        for name, (digest, told) in zip(samples.names, found, strict=True)
    ]
    good, digests, faults = _sorted_out(samples, reads)
    if faults:
        forget(seen, key)  # a permission is given, a disk comes back, and the file's size and time stay
    known = replace(good, items=KnownItems(good.items, digests))
    return Loaded(good, Streamed(known, keeper.pool(picture)), digests, faults)


def _row(picture: Picture) -> tuple[int, int, int]:
    C, h, w = picture.shape
    return h, w, C


def _sorted_out(samples: Samples, reads: Sequence[Read]) -> tuple[Samples, tuple[bytes, ...], tuple[Fault, ...]]:
    """The good samples, their digests, and the faults of the others."""
    faults = tuple(read.fault for read in reads if read.fault is not None)
    good = [row for row, read in enumerate(reads) if read.fault is None]
    kept = samples.pick(np.array(good, dtype=np.int64)) if faults else samples
    return kept, tuple(reads[row].digest for row in good), faults


def _check_memory(size: int, count: int, picture: Picture) -> None:
    physical = physical_memory()
    if size > physical:
        got = f"{size / 2**30:.1f} GiB for {count} pictures of {picture.height}x{picture.width}"
        fix = "choose a smaller picture or fewer pictures"
        raise ResourceError("data", "the decoded pictures", f"at most {physical / 2**30:.1f} GiB", got=got, fix=fix)


def physical_memory() -> int:
    """Bytes of this machine; more than any where the system does not tell."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 1 << 62


def _free(folder: Path) -> int:
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return shutil.disk_usage(place).free
