"""From what a person writes after --data to samples with classes and parts."""

import difflib
import os
from dataclasses import replace
from pathlib import Path

from striate.base.errors import DataError, ResourceError
from striate.data.cache_folder import cache_folder
from striate.data.digits import open_digits
from striate.data.fetch import Progress
from striate.data.folder import KINDS, open_folder, open_table
from striate.data.hugging_face import is_saved, load_saved
from striate.data.idx import find_idx, open_idx
from striate.data.named import open_named
from striate.data.named_sets import NAMED_SETS
from striate.data.npz import find_npz, open_npz, open_npz_folder
from striate.data.samples import Samples, Source
from striate.data.shard_files import SUFFIX, is_compressed, is_pattern
from striate.data.shards import holds_shards, open_shards

__all__ = ["BUILT_IN", "Samples", "Source", "open_source", "whole_location"]

BUILT_IN = {"digits": open_digits}
_NAMES = (*BUILT_IN, *NAMED_SETS)


def open_source(data: str, progress: Progress | None = None, *, skip_bad: bool = False) -> Source:
    """Find the data; pictures are not decoded yet.

    Args:
        data: a built-in name, the name of a set that is fetched, or a path; "./digits" is the folder of that name.
        progress: called with (bytes there, bytes in all) while a set is fetched.
        skip_bad: leave out samples of shards that cannot be taken, with a note.

    Raises:
        DataError: there is no such data, it could not be fetched, or it is not one that we read; the fix lists what is.
        ResourceError: a set that is to be fetched cannot be written to the cache.
    """
    if data in BUILT_IN:
        return BUILT_IN[data]()
    if data in NAMED_SETS:
        return open_named(data, progress)
    path = Path(os.path.expanduser(data))  # unlike Path's own, it lets an unknown ~user be
    if is_pattern(data):
        return _open_shards(data, skip_bad)
    if not data or not path.exists():
        raise _no_such(data)
    root = path.resolve()
    if root.is_dir():
        return _open_directory(root, skip_bad)
    if root.suffix.lower() == ".npz":
        return open_npz(root)
    if root.suffix.lower() in (".csv", ".jsonl"):
        return open_table(root)
    if root.suffix.lower() == SUFFIX or is_compressed(root):
        return _open_shards(root, skip_bad)
    must, got = "a folder, an .npz, a .csv, a .jsonl or a .tar", f"a {root.suffix or 'plain'} file"
    raise DataError(str(root), "the data", must, got=got, fix=KINDS)


def _open_shards(location: str | Path, skip_bad: bool) -> Source:
    try:
        cache = cache_folder("shards")
    except ResourceError:  # then every shard is walked through each time
        return open_shards(location, skip_bad=skip_bad)
    return open_shards(location, cache=cache, skip_bad=skip_bad)


def whole_location(data: str) -> str:
    """A path that holds from any folder; the name of a set as it is."""
    path = Path(os.path.expanduser(data))  # unlike Path's own, it lets an unknown ~user be
    if is_pattern(data):
        return os.path.abspath(path)
    return str(path.resolve()) if path.exists() and data not in _NAMES else data


def _open_directory(root: Path, skip_bad: bool) -> Source:
    try:
        if is_saved(root):
            from striate.data.from_python import source_of  # it loads torch

            return replace(source_of(load_saved(root), name=root.name), location=str(root))
        if find_idx(root):
            return open_idx(root)
        if "train" in find_npz(root):
            return open_npz_folder(root)
        if holds_shards(root):
            return _open_shards(root, skip_bad)
    except PermissionError as error:
        fix = "give yourself permission to read it"
        raise DataError(str(root), "the folder", "readable", got="no permission", fix=fix) from error
    return open_folder(root)


def _no_such(data: str) -> DataError:
    parent = Path(os.path.expanduser(data)).parent
    beside = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
    near = difflib.get_close_matches(Path(data).name, [*_NAMES, *beside], n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    fix = f"{guess}built in: {', '.join(BUILT_IN)}; fetched: {', '.join(NAMED_SETS)}; or a path to {KINDS}"
    return DataError("data", "the name or path", "there", got=repr(data), fix=fix)
