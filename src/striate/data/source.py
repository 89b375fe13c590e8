"""From what a person writes after --data to samples with classes and parts."""

import difflib
import os
from pathlib import Path

from striate.base.errors import DataError
from striate.data.digits import open_digits
from striate.data.folder import KINDS, open_folder, open_table
from striate.data.idx import find_idx, open_idx
from striate.data.npz import find_npz, open_npz, open_npz_folder
from striate.data.samples import Samples, Source
from striate.data.shard_files import SUFFIX, is_compressed, is_pattern
from striate.data.shards import holds_shards, open_shards

__all__ = ["BUILT_IN", "Samples", "Source", "open_source", "whole_location"]

BUILT_IN = {"digits": open_digits}
_FETCHED = ("mnist", "fashion-mnist", "cifar10")  # names kept for sets that have to be downloaded


def open_source(data: str) -> Source:
    """Find the data; pictures are not decoded yet.

    Args:
        data: a built-in name, or a path; "./digits" is the folder of that name.

    Raises:
        DataError: there is no such data, or it is not one that we read; the fix lists what is.
    """
    if data in BUILT_IN:
        return BUILT_IN[data]()
    if data in _FETCHED:
        fix = f"give a folder of IDX files, or an .npz, as a path: ./{data}"
        raise DataError("data", "the name", "one that comes with Striate (digits)", got=repr(data), fix=fix)
    path = Path(os.path.expanduser(data))  # unlike Path's own, it lets an unknown ~user be
    if is_pattern(data):
        return open_shards(data)
    if not data or not path.exists():
        raise _no_such(data)
    root = path.resolve()
    if root.is_dir():
        return _open_directory(root)
    if root.suffix.lower() == ".npz":
        return open_npz(root)
    if root.suffix.lower() == ".csv":
        return open_table(root)
    if root.suffix.lower() == SUFFIX or is_compressed(root):
        return open_shards(root)
    must, got = "a folder, an .npz, a .csv or a .tar", f"a {root.suffix or 'plain'} file"
    raise DataError(str(root), "the data", must, got=got, fix=KINDS)


def whole_location(data: str) -> str:
    """A path that holds from any folder; a built-in name as it is."""
    path = Path(os.path.expanduser(data))  # unlike Path's own, it lets an unknown ~user be
    if is_pattern(data):
        return os.path.abspath(path)
    return str(path.resolve()) if path.exists() and data not in BUILT_IN else data


def _open_directory(root: Path) -> Source:
    try:
        if find_idx(root):
            return open_idx(root)
        if "train" in find_npz(root):
            return open_npz_folder(root)
        if holds_shards(root):
            return open_shards(root)
    except PermissionError as error:
        fix = "give yourself permission to read it"
        raise DataError(str(root), "the folder", "readable", got="no permission", fix=fix) from error
    return open_folder(root)


def _no_such(data: str) -> DataError:
    parent = Path(os.path.expanduser(data)).parent
    beside = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
    near = difflib.get_close_matches(Path(data).name, [*BUILT_IN, *beside], n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    fix = f"{guess}built in: {', '.join(BUILT_IN)}; or a path to {KINDS}"
    return DataError("data", "the name or path", "there", got=repr(data), fix=fix)
