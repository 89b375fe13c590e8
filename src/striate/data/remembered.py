"""What took long to find out about data, kept beside the decoded pictures under a key that stands for the data.

A file that is damaged or gone is as good as absent: what it held is found out again.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from striate.base.errors import ResourceError
from striate.base.files import make_folder, write
from striate.data.items import FileItems, Items
from striate.data.members import MemberItems


def remembered(folder: Path, key: bytes, find: Callable[[], bytes]) -> bytes:
    """What `find` gives, found once for each key.

    Args:
        folder: where it is kept; one that cannot be written keeps nothing.
        key: 32 bytes that stand for all that the result depends on.
        find: finds it out.
    """
    path = folder / f"{key.hex()}.z"
    try:
        return zlib.decompress(path.read_bytes())  # its checksum tells a damaged one
    except (OSError, zlib.error):
        found = find()
    try:
        make_folder(folder)
        write(path, zlib.compress(found, 1))
    except ResourceError:
        pass
    return found


def forget(folder: Path, key: bytes) -> None:
    """Find it out again the next time."""
    with suppress(OSError):
        (folder / f"{key.hex()}.z").unlink()


def key_of(parts: Iterable[object]) -> bytes:
    """One key for plain values and bytes.

    >>> key_of(["a", 1]) == key_of(["a", 1]), key_of(["a", 1]) == key_of(["a", 2])
    (True, False)
    """
    total = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True, default=str).encode()
        total.update(len(content).to_bytes(8, "big") + content)
    return total.digest()


def state_of(items: Items) -> bytes | None:
    """A digest of paths, sizes and times of change of the files that items lie in; None where that says too little."""
    if isinstance(items, FileItems):
        stats = (path.stat() if path.exists() else None for path in items.paths)
        found = [[str(p), s and s.st_size, s and s.st_mtime_ns] for p, s in zip(items.paths, stats, strict=True)]
        return key_of(found)
    if isinstance(items, MemberItems):
        shards = [[str(shard.path), shard.size, shard.mtime_ns] for shard in items.shards]
        places = np.stack([items.shard, items.offsets, items.sizes])
        return key_of([*shards, places.tobytes()])
    return None
