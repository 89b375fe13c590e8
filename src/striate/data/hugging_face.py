"""Datasets of the Hugging Face library `datasets`: one Image column, one class column; the extra `striate[data]`.

The class column is the only ClassLabel; of several, the one called label or labels; without any, a column of that name.
Pictures are decoded by `decode`, as all others are, from the bytes that the dataset holds.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from striate.base.errors import DataError
from striate.data.decode import header
from striate.data.faults import DecodeFault, read_file
from striate.data.items import Content, Rows
from striate.data.kinds import Look
from striate.data.samples import Named, array_names

_LABELS = ("label", "labels")
_MARKS = ("dataset_dict.json", "dataset_info.json")  # of a folder written by save_to_disk


def is_hugging_face(data: object) -> bool:
    """Whether this is one part of such a dataset; the library is not imported to find out."""
    return type(data).__module__.partition(".")[0] == "datasets" and hasattr(data, "features")


def is_saved(root: Path) -> bool:
    """Whether a folder was written by `save_to_disk`."""
    return (root / _MARKS[0]).is_file() or all((root / name).is_file() for name in (_MARKS[1], "state.json"))


def load_saved(root: Path) -> Any:
    """The Dataset or DatasetDict of such a folder.

    Raises:
        DataError: the library is not installed, or the folder is damaged.
    """
    try:
        import datasets  # 1 s to import, and an extra
    except ImportError as error:
        got = "one that Hugging Face datasets saved, and that library is not installed"
        fix = "pip install 'striate[data]'"
        raise DataError(str(root), "the folder", "one that we can read", got=got, fix=fix) from error
    try:
        return datasets.load_from_disk(str(root))
    except Exception as error:  # of many kinds: Arrow's, JSON's, the system's
        got = f"{type(error).__name__}: {error}"[:200]
        raise DataError(str(root), "the folder", "a whole saved dataset", got=got, fix="save it again") from error


@dataclass(frozen=True, slots=True, eq=False)
class RowItems:
    """Samples of an Image column, not decoded.

    Args:
        rows: of the dataset, its Image column not decoding.
        column: the name of that column.
        lock: held while reading: Arrow's readers promise nothing to several threads.
        looks: size, channels and kind of all readable pictures of the dataset, as their headers say.
        picked: positions (N,).
    """

    rows: Any
    column: str
    lock: Any
    looks: tuple[Look, ...]
    picked: Rows

    def __len__(self) -> int:
        return len(self.picked)

    def content(self, row: int, name: str) -> Content:
        """The bytes of the picture's file.

        Raises:
            DecodeFault: there is none.
        """
        with self.lock:
            return _file(self.rows[int(self.picked[row])][self.column], name)

    def pick(self, rows: Rows) -> "RowItems":
        """The samples at these positions."""
        return RowItems(self.rows, self.column, self.lock, self.looks, self.picked[rows])


def named_rows(where: str, part: str, data: Any, classes: Sequence[str] | None) -> Named:
    """One part with its classes.

    Raises:
        DataError: a streamed dataset, not one Image column, no clear class column, a row without a class.
    """
    if not hasattr(data, "__len__"):
        fix = "load it without streaming=True"
        raise DataError(where, "the dataset", "one with a length", got=type(data).__name__, fix=fix)
    import datasets

    data = data.with_format(None)  # neither tensors nor somebody's transform
    image = _image_column(where, data.features, datasets)
    label = _label_column(where, data.features, datasets)
    rows = data.cast_column(image, datasets.Image(decode=False)).select_columns([image])
    feature = data.features[label]
    own = list(feature.names) if isinstance(feature, datasets.ClassLabel) else None
    codes, vocabulary = _codes(where, label, list(data[label]), classes if classes is not None else own)
    names = array_names(part, len(data))
    looks = tuple(_looks(rows, image))
    picked = np.arange(len(data), dtype=np.int64)
    return Named(RowItems(rows, image, threading.Lock(), looks, picked), codes, vocabulary, names)


def _image_column(where: str, features: Mapping[str, Any], datasets: Any) -> str:
    found = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    if len(found) != 1:
        got = f"{len(found)} ({', '.join(found)})" if found else f"none among {', '.join(features)}"
        fix = "cast_column(name, datasets.Image()), or remove_columns of the others"
        raise DataError(where, "the Image columns", "one", got=got, fix=fix)
    return found[0]


def _label_column(where: str, features: Mapping[str, Any], datasets: Any) -> str:
    classes = [name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    called = [name for name in (classes or features) if name in _LABELS]
    found = classes if len(classes) == 1 else called
    if len(found) != 1:
        got = ", ".join(classes or features)
        fix = "rename the one to learn: rename_column('fine_label', 'label')"
        raise DataError(where, "the class column", "one, or one called label", got=got, fix=fix)
    return found[0]


def _codes(
    where: str, column: str, labels: list[Any], names: Sequence[str] | None
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], list[str]]:
    for row, label in enumerate(labels):
        plain = isinstance(label, int) and not isinstance(label, bool) and label >= 0
        if not plain and not (isinstance(label, str) and names is None and label):
            fix = "leave out rows without a class: filter(lambda row: …); -1 and None stand for none"
            raise DataError(where, f"{column} of row {row}", "a class", got=f"{label!r}"[:80], fix=fix)
        if names is not None and label >= len(names):
            got = f"{label} with {len(names)} names"
            raise DataError(where, f"{column} of row {row}", "a class with a name", got=got, fix="name every class")
    if names is not None:
        return np.array(labels, dtype=np.int64), [str(name) for name in names]
    vocabulary, codes = np.unique([str(label) for label in labels], return_inverse=True)
    return codes.astype(np.int64), [str(name) for name in vocabulary]


def _looks(rows: Any, column: str) -> set[Look]:
    found = set()
    for row in rows:
        try:
            head = header(_file(row[column], ""), "")
        except DecodeFault:
            continue  # decoding reports it
        found.add((head.size, head.channels, head.kind))
    return found


def _file(cell: Any, name: str) -> bytes:
    if cell is None:
        raise DecodeFault(name, "missing", "no picture in this row")
    if cell["bytes"] is not None:
        return bytes(cell["bytes"])
    return read_file(Path(cell["path"] or ""), name)
