"""From a path and a task to records: samples of any shape with what is to be learnt of them."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from striate.base.errors import ConfigError, DataError
from striate.data.generated import GENERATED
from striate.data.picture import Picture
from striate.data.record_arrays import open_archive, open_arrays
from striate.data.record_pictures import open_masks, open_number_table
from striate.data.record_set import (
    Kind,
    RecordPart,
    Records,
    divide_records,
    record_batches,
    records_in_order,
)
from striate.data.record_texts import is_text_table, open_text_folder, open_text_table, text_files

__all__ = ["KIND", "RecordPart", "Records", "divide_records", "open_records", "record_batches", "records_in_order"]

KIND: dict[str, Kind] = {
    "classify": "classes",
    "multilabel": "labels",
    "regress": "numbers",
    "segment": "masks",
    "reconstruct": "none",
}

_LAYOUTS = {
    "classes": "an .npz or a folder with x.npy and y.npy, a .csv or .tsv of text,label, or folders of .txt",
    "labels": "an .npz or a folder with x.npy and y.npy, a .csv of path and a column of 0 and 1 for each label",
    "numbers": "an .npz or a folder with x.npy and y.npy, a .csv of path,number or text,label",
    "masks": "a folder with images/ and masks/, an .npz or a folder with x.npy and y.npy",
    "none": "an .npz or a folder with x.npy",
}


def open_records(path: str | Path, task: str, picture: Picture | None = None) -> Records:
    """Find and check samples.

    Args:
        path: a file or folder, or the name of a generated set.
        task: classify, multilabel, regress, segment or reconstruct.
        picture: what pictures are brought to; without it they must be of one size.

    Raises:
        ConfigError: another task.
        DataError: no such data, or it cannot be trusted; the fix says what to do.
    """
    if task not in KIND:
        fix = "pictures with classes are opened with open_source"
        raise ConfigError("open_records", "task", f"one of {', '.join(KIND)}", got=repr(task), fix=fix)
    kind = KIND[task]
    if path in GENERATED:
        return _generated(str(path), task)
    root = Path(os.path.expanduser(path)).resolve()
    suffix = root.suffix.lower()
    if root.is_dir():
        return _folder(root, kind, picture)
    if root.is_file() and suffix == ".npz":
        return open_archive(root, kind)
    if root.is_file() and suffix in (".csv", ".tsv") and kind in ("classes", "labels", "numbers"):
        if kind != "labels" and (kind == "classes" or is_text_table(root)):
            return open_text_table(root, kind)
        return open_number_table(root, kind, picture)
    got = f"a {suffix or 'plain'} file" if root.exists() else "nothing there"
    fix = f"see docs/data-sources.md; made for it: {', '.join(_made_for(kind))}"
    raise DataError(str(root), f"the data to {task}", _LAYOUTS[kind], got=got, fix=fix)


def _generated(name: str, task: str) -> Records:
    """A set that is made; where nothing is to be learnt besides the samples, their targets are left."""
    made, kind = GENERATED[name].make(), KIND[task]
    if made.kind == kind:
        return made
    if kind == "none" and made.inputs.dtype != object:
        return replace(made, kind="none", targets=np.empty((len(made), 0), np.float32), classes=())
    fix = f"made to {task}: {', '.join(_made_for(kind))}"
    raise DataError(name, f"the data to {task}", f"samples with {kind}", got=f"samples with {made.kind}", fix=fix)


def _made_for(kind: Kind) -> list[str]:
    return [name for name, made in GENERATED.items() if kind == made.kind or (kind == "none" and name != "sentences")]


def _folder(root: Path, kind: Kind, picture: Picture | None) -> Records:
    if (root / "x.npy").exists():
        return open_arrays(root, kind)
    if kind == "masks" and (root / "images").is_dir():
        return open_masks(root, picture)
    if kind == "classes" and text_files(root):
        return open_text_folder(root)
    got = "a folder without these"
    raise DataError(str(root), "the data", _LAYOUTS[kind], got=got, fix="see docs/data-sources.md")
