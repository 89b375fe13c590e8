"""From what a person names to a layout: the same choice as `open_source` makes, with nothing refused."""

import os
from pathlib import Path

import numpy as np

from striate.base.errors import DataError
from striate.data.doctor.arrays import look_at_idx, look_at_npz, look_at_npz_folder
from striate.data.doctor.folders import look_at_folders, look_at_table
from striate.data.doctor.layout import Layout, Lot
from striate.data.folder import KINDS, METADATA, TABLE
from striate.data.hugging_face import is_saved
from striate.data.idx import find_idx
from striate.data.named_sets import NAMED_SETS
from striate.data.npz import find_npz
from striate.data.shard_files import SUFFIX, is_pattern
from striate.data.shards import ShardFaultsError, holds_shards
from striate.data.source import BUILT_IN, Source, open_source


def look(data: str) -> Layout:
    """Find what there is to read.

    Args:
        data: as `open_source` takes it.

    Raises:
        DataError: there is no such data, or it is neither a folder nor a file that can hold any.
    """
    path = Path(os.path.expanduser(data))
    if is_pattern(data):
        return _of_shards(data)
    if data in BUILT_IN or data in NAMED_SETS or not data or not path.exists():
        return _of_source(open_source(data))
    root = path.resolve()
    if root.is_dir():
        return _look_at_directory(root)
    if not root.is_file():
        raise DataError(str(root), "the data", "a folder or a regular file", got="neither", fix=f"give {KINDS}")
    if root.suffix.lower() == ".npz":
        return look_at_npz(root)
    if root.suffix.lower() in (".csv", ".jsonl"):
        return look_at_table(root)
    if root.suffix.lower() == SUFFIX:
        return _of_shards(data)
    return _of_source(open_source(data))


def _look_at_directory(root: Path) -> Layout:
    if os.access(root, os.R_OK | os.X_OK):  # else the walk says that it cannot be listed
        if is_saved(root):
            return _of_source(open_source(str(root)))
        if find_idx(root):
            return look_at_idx(root)
        if "train" in find_npz(root):
            return look_at_npz_folder(root)
        if holds_shards(root):
            return _of_shards(str(root))
    tables = [root / name for name in (TABLE, *METADATA) if (root / name).is_file()]
    return look_at_table(tables[0]) if tables else look_at_folders(root)


def _of_shards(data: str) -> Layout:
    """Tar shards, past every sample that cannot be taken."""
    try:
        return _of_source(open_source(data))
    except ShardFaultsError as error:
        layout = _of_source(open_source(data, skip_bad=True))
        layout.faults += error.faults
        return layout


def _of_source(source: Source) -> Layout:
    """What `open_source` reads whole, such as the built-in sets."""
    layout = Layout(source.location)
    for split, samples in source.parts.items():
        labels = np.array(source.classes, dtype=object)[samples.labels]
        layout.declare(Lot(samples.items, samples.names, tuple(labels), split))
    return layout
