"""From what a person writes after --data to samples with classes and parts."""

import difflib
import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

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

__all__ = ["BUILT_IN", "Samples", "Source", "form_of", "open_source", "whole_location"]

BUILT_IN = {"digits": open_digits}
_NAMES = (*BUILT_IN, *NAMED_SETS)

Form = Literal["built-in", "named", "shards", "saved", "idx", "npz", "npz-folder", "table", "folder"]
_FILES: dict[str, Form] = {".npz": "npz", ".csv": "table", ".jsonl": "table", SUFFIX: "shards"}
_OPENERS = {
    "idx": open_idx,
    "npz": open_npz,
    "npz-folder": open_npz_folder,
    "table": open_table,
    "folder": open_folder,
}


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
    form, root = form_of(data)
    match form:
        case "built-in":
            return BUILT_IN[data]()
        case "named":
            return open_named(data, progress)
        case "shards":
            return _open_shards(data if is_pattern(data) else root, skip_bad)
        case "saved":
            from striate.data.from_python import source_of  # it loads torch

            return replace(source_of(load_saved(root), name=root.name), location=str(root))
    return _OPENERS[form](root)


def form_of(data: str) -> tuple[Form, Path]:
    """How data are laid out, told by names and not by reading them, and where they lie.

    Raises:
        DataError: there is no such data, or it is neither a folder nor a file that we read.
    """
    path = Path(os.path.expanduser(data))  # unlike Path's own, it lets an unknown ~user be
    if data in _NAMES:
        return ("built-in" if data in BUILT_IN else "named"), path
    if is_pattern(data):
        return "shards", path
    if not data or not path.exists():
        raise _no_such(data)
    root = path.resolve()
    return (_form_of_folder(root) if root.is_dir() else _form_of_file(root)), root


def _form_of_folder(root: Path) -> Form:
    if not os.access(root, os.R_OK | os.X_OK):
        return "folder"  # whoever lists it says so
    if is_saved(root):
        return "saved"
    if find_idx(root):
        return "idx"
    if "train" in find_npz(root):
        return "npz-folder"
    return "shards" if holds_shards(root) else "folder"


def _form_of_file(root: Path) -> Form:
    if not root.is_file():  # a fifo would wait for ever to be opened
        raise DataError(str(root), "the data", "a folder or a regular file", got="neither", fix=f"give {KINDS}")
    suffix = root.suffix.lower()
    if suffix in _FILES or is_compressed(root):
        return _FILES.get(suffix, "shards")  # which says what to do about compressed ones
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


def _no_such(data: str) -> DataError:
    parent = Path(os.path.expanduser(data)).parent
    beside = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
    near = difflib.get_close_matches(Path(data).name, [*_NAMES, *beside], n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    fix = f"{guess}built in: {', '.join(BUILT_IN)}; fetched: {', '.join(NAMED_SETS)}; or a path to {KINDS}"
    return DataError("data", "the name or path", "there", got=repr(data), fix=fix)
