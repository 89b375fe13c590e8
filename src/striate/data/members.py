"""Pictures that lie within larger files, such as the members of tar shards: each is a range of bytes, read when asked.

Every process keeps a bounded number of shards open.  A read names its place (`pread`), so threads share a handle; one
that is put aside is closed when its last reader lets go of it.
"""

import os
import stat
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from jaxtyping import Int64

from striate.data.faults import MAX_BYTES, DecodeFault
from striate.data.items import Content, Rows

MOST_OPEN = 64  # shards, in each process


@dataclass(frozen=True, slots=True)
class Shard:
    """A file as it was when it was indexed.

    Args:
        path: where it lies.
        size: in bytes.
        mtime_ns: when it was last changed.
    """

    path: Path
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class MemberItems:
    """One range of bytes a sample.

    Args:
        shards: the files.
        shard: the position in `shards` of each sample's file.
        offsets: where each sample's bytes begin in its file.
        sizes: in bytes.
    """

    shards: tuple[Shard, ...]
    shard: Int64[np.ndarray, " N"]
    offsets: Int64[np.ndarray, " N"]
    sizes: Int64[np.ndarray, " N"]

    def __len__(self) -> int:
        return len(self.shard)

    def content(self, row: int, name: str) -> Content:
        """The bytes of a picture file.

        Raises:
            DecodeFault: the shard is gone, was changed, or cannot be read.
        """
        shard, size = self.shards[self.shard[row]], int(self.sizes[row])
        if size > MAX_BYTES:
            raise DecodeFault(name, "too-large", f"too large: {size} bytes, limit {MAX_BYTES}")
        try:
            return _HANDLES.read(shard, int(self.offsets[row]), size)
        except FileNotFoundError as error:
            raise DecodeFault(name, "missing", f"no such file: {shard.path.name}") from error
        except OSError as error:
            raise DecodeFault(
                name, "damaged", f"{shard.path.name} cannot be read ({error.strerror or error})"
            ) from error

    def pick(self, rows: Rows) -> "MemberItems":
        """The members at these positions."""
        return MemberItems(self.shards, self.shard[rows], self.offsets[rows], self.sizes[rows])

    def __reduce__(self) -> tuple[type["MemberItems"], tuple[object, ...]]:
        """A few members of a thousand shards travel with the few shards that they lie in."""
        used, shard = np.unique(self.shard, return_inverse=True)
        return MemberItems, (tuple(self.shards[i] for i in used), shard.astype(np.int64), self.offsets, self.sizes)


class _Handle:
    """An open file, closed when nobody holds it any more."""

    def __init__(self, path: Path) -> None:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a fifo would wait for ever to be opened
            raise OSError("not a regular file")
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


class _Handles:
    """The shards that are open; the one not read for longest makes room."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: OrderedDict[Shard, _Handle] = OrderedDict()
        self._lock = Lock()

    def read(self, shard: Shard, offset: int, size: int) -> bytes:
        with self._lock:
            handle = self._open.pop(shard, None) or _Handle(shard.path)
            self._open[shard] = handle
            if len(self._open) > self._most:
                self._open.popitem(last=False)
        status = os.fstat(handle.number)
        if (status.st_size, status.st_mtime_ns) != (shard.size, shard.mtime_ns):
            with self._lock:
                self._open.pop(shard, None)
            raise OSError("changed since it was indexed")
        content = os.pread(handle.number, size, offset)
        if len(content) != size:
            raise OSError(f"{len(content)} of {size} bytes came")
        return content

    def forget(self) -> None:
        """Begin anew in a forked child, where a thread that is not there may have held the lock."""
        self._open, self._lock = OrderedDict(), Lock()


_HANDLES = _Handles(MOST_OPEN)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_HANDLES.forget)
