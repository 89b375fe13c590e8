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


class Pools:
    """The worker processes of a data set: one pool for each picture, shared by its splits, begun when first needed.

    They end with the block if it fails; else they are the splits' to end.

    Args:
        workers: of each pool; 0 is one for each core.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers or os.cpu_count() or 1
        self._pools: dict[Picture, Decoders] = {}

    def __enter__(self) -> "Pools":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for pool in self._pools.values() if kind else ():
            pool.close()

    def __getitem__(self, picture: Picture) -> Decoders:
        if picture not in self._pools:
            self._pools[picture] = Decoders(picture, self._workers)
        return self._pools[picture]


def load(
    samples: Samples, picture: Picture, storage: Storage, data: str, tick: Tick, pools: Pools
) -> tuple[Loaded, str | None]:
    """Read a part, decode what nobody has decoded yet, and keep it.

    Args:
        samples: what to read.
        picture: what every image is brought to.
        storage: how it is kept.
        data: where the data lie, to tell shelves apart.
        tick: called once a sample.
        pools: what decodes where nothing is kept.

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
            if bytes_of(len(samples), picture) <= SHARE_OF_MEMORY * physical_memory():
                return _in_memory(samples, picture, tick), note
            return _streamed(samples, picture, storage, tick, pools), note
    if mode == "stream":
        return _streamed(samples, picture, storage, tick, pools), None
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


def _streamed(samples: Samples, picture: Picture, storage: Storage, tick: Tick, pools: Pools) -> Loaded:
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
    seen, key = storage.folder / "seen", key_of(settings)
    found = json.loads(remembered(seen, key, first_pass) if state else first_pass())
    reads = [
        Read(bytes.fromhex(digest), None, None if told is None else Fault(name, *told))
        for name, (digest, told) in zip(samples.names, found, strict=True)
    ]
    good = [row for row, read in enumerate(reads) if read.fault is None]
    if len(good) < len(samples):
        forget(seen, key)  # a permission is given, a disk comes back, and the file's size and time stay
    kept = samples if len(good) == len(samples) else samples.pick(np.array(good, dtype=np.int64))
    known = KnownItems(kept.items, tuple(reads[row].digest for row in good))
    return _loaded(samples, reads, Streamed(replace(kept, items=known), pools[picture]))


def _row(picture: Picture) -> tuple[int, int, int]:
    C, h, w = picture.shape
    return h, w, C


def _loaded(samples: Samples, reads: Sequence[Read], pictures: Pictures) -> Loaded:
    faults = tuple(read.fault for read in reads if read.fault is not None)
    good = [row for row, read in enumerate(reads) if read.fault is None]
    kept = samples.pick(np.array(good, dtype=np.int64)) if faults else samples
    return Loaded(kept, pictures, tuple(reads[row].digest for row in good), faults)


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
