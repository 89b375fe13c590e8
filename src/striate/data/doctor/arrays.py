"""IDX folders and NumPy archives: each file and part for itself, so that one that is damaged hides nothing else."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from striate.base.errors import DataError
from striate.data.arrays import load_archive
from striate.data.decode import Fault
from striate.data.doctor.layout import UNUSED, Layout, Lot
from striate.data.idx import find_idx, read_idx
from striate.data.items import ArrayItems
from striate.data.npz import find_npz, keys_of_parts, read_part
from striate.data.samples import Named, array_names

T = TypeVar("T")


def look_at_idx(root: Path) -> Layout:
    """Find the parts of a folder of IDX files."""
    layout, found = Layout(str(root)), find_idx(root)
    for part in ("train", "test"):
        images_file, labels_file = found.get((part, "images")), found.get((part, "labels"))
        if images_file is None and labels_file is None:
            continue
        for file, what in ((images_file, "images"), (labels_file, "labels")):
            if file is None:
                layout.faults.append(Fault(f"{part} {what}", "missing", "no such file"))
        images, labels = _idx(images_file, 3, layout), _idx(labels_file, 1, layout)
        if images is not None and labels is not None and len(images) == len(labels):
            names = tuple(map(str, labels.tolist()))
            layout.declare(Lot(ArrayItems(images), array_names(part, len(images)), names, part))
        elif images is not None:
            _add_unlabelled(layout, part, images, labels, str(images_file and images_file.name))
    if "train" not in layout.declared:
        layout.find("no-training", "no images with labels of train")
    _check_shapes(layout)
    return layout


def _idx(file: Path | None, axes: int, layout: Layout) -> np.ndarray | None:
    return None if file is None else _tried(layout, file, lambda: read_idx(file, axes))


def _add_unlabelled(layout: Layout, part: str, images: np.ndarray, labels: np.ndarray | None, file: str) -> None:
    if labels is not None:
        layout.faults.append(Fault(file, "array", f"{len(images)} pictures and {len(labels)} labels"))
    layout.lots.append(Lot(ArrayItems(images), array_names(part, len(images)), ("",) * len(images), UNUSED))


def look_at_npz(path: Path) -> Layout:
    """Find the parts of one archive."""
    layout = Layout(str(path))
    arrays = _arrays(path, layout)
    keys = _tried(layout, path, lambda: keys_of_parts(path, arrays)) if arrays is not None else None
    for part, pair in (keys or {}).items():
        _add_part(layout, path, arrays or {}, part, pair)
    _check_shapes(layout)
    return layout


def look_at_npz_folder(root: Path) -> Layout:
    """Find train.npz and, where present, val.npz and test.npz."""
    layout = Layout(str(root))
    for part, path in find_npz(root).items():
        arrays = _arrays(path, layout)
        if arrays is not None:
            _add_part(layout, path, arrays, part, ("x", "y"))
    if "train" not in layout.declared:
        layout.find("no-training", "train.npz cannot be used")
    _check_shapes(layout)
    return layout


def _arrays(path: Path, layout: Layout) -> dict[str, np.ndarray] | None:
    """All arrays, unless the archive announces more than the machine's memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            announced = sum(entry.file_size for entry in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        announced = 0  # loading says what is wrong
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else announced
    if announced > physical:
        reason = f"unpacks to {announced / 2**30:.0f} GiB, more than this machine's memory"
        layout.faults.append(Fault(path.name, "too-large", reason))
        return None
    return _tried(layout, path, lambda: load_archive(path))


def _add_part(layout: Layout, path: Path, arrays: dict[str, np.ndarray], part: str, keys: tuple[str, str]) -> None:
    named: Named | None = _tried(layout, path, lambda: read_part(path, arrays, part, keys))
    if named is not None:
        labels = tuple(named.vocabulary[code] for code in named.codes.tolist())
        layout.declare(Lot(named.items, array_names(part, len(labels)), labels, part))


def _tried(layout: Layout, path: Path, read: Callable[[], T]) -> T | None:
    """What `read` gives, or None and a fault."""
    try:
        return read()
    except DataError as error:
        layout.faults.append(Fault(path.name, "array", f"{error.what} must be {error.must}, got {error.got}"))
    except MemoryError:
        layout.faults.append(Fault(path.name, "too-large", "does not fit into memory"))
    return None


def _check_shapes(layout: Layout) -> None:
    arrays = {lot.split: lot.items.array for lot in layout.lots if isinstance(lot.items, ArrayItems)}
    told = {split: f"{'x'.join(map(str, array.shape[1:]))} {array.dtype}" for split, array in arrays.items()}
    if len(set(told.values())) > 1:
        listed = ", ".join(f"{split} {what}" for split, what in told.items())
        layout.faults.append(Fault(Path(layout.location).name, "array", f"pictures of different shapes: {listed}"))
