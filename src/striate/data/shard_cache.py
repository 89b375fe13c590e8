"""The indexes of shards, kept on disk: a shard of the same path, size and time of change is not walked again.

A file a shard, `<SHA-256 of that>.json`: the digest of the rest, then the index.  What is damaged is as good as absent.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from striate.base.errors import ResourceError
from striate.base.files import write
from striate.data.decode import Fault
from striate.data.shard_index import ShardIndex, index_shard

_VERSION = 1  # of what an index says


def cached_index(path: Path, name: str, cache: Path | None) -> ShardIndex:
    """The index of a shard, from the cache folder where it is there.

    Args:
        path: the shard.
        name: what to call it in faults.
        cache: a folder that is there; None keeps nothing.

    """
    try:
        status = path.stat()
    except OSError:
        cache = None
    if cache is None:
        return index_shard(path, name)
    identity = json.dumps([_VERSION, str(path), name, status.st_size, status.st_mtime_ns])
    kept = cache / f"{hashlib.sha256(identity.encode('utf-8', 'surrogateescape')).hexdigest()}.json"
    found = _read(kept)
    if found is None:
        found = index_shard(path, name)
        if not found.faults and (found.size, found.mtime_ns) == (status.st_size, status.st_mtime_ns):
            text = json.dumps(asdict(found))
            with suppress(ResourceError):  # a full disk: it is walked through again the next time
                write(kept, f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
    return found


def _read(kept: Path) -> ShardIndex | None:
    try:
        digest, _, text = kept.read_text().partition("\n")
    except (OSError, UnicodeDecodeError):
        return None
    if digest != hashlib.sha256(text.encode()).hexdigest():
        return None
    told = json.loads(text)
    columns = {key: tuple(told[key]) for key in ("names", "offsets", "sizes", "labels")}
    faults = tuple(Fault(**fault) for fault in told["faults"])
    return ShardIndex(**columns, size=told["size"], mtime_ns=told["mtime_ns"], faults=faults, aside=told["aside"])
