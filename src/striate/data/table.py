"""A table of pictures: a CSV with columns path|file|image|file_name, label|class and, where wanted, split.

Paths are relative to the table's folder and stay in it.  Without a class column the first folder of the path is the
class; without a split column all rows are one part.
"""

import csv
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np

from striate.base.errors import DataError
from striate.data.items import FileItems
from striate.data.samples import SYNONYMS, Named

_COLUMNS = {"path": ("path", "file", "image", "file_name"), "class": ("label", "class"), "split": ("split",)}

Row = tuple[str, str, str]  # path, class, part


class RowError(DataError):
    """A row that cannot be taken; `path` is what it gives as one, `kind` a short word: outside, no-class, no-split."""

    kind = path = ""


def read_table(table: Path) -> dict[str, Named]:
    """Read the rows, by part, each part in the order of its paths.

    Raises:
        DataError: no path column, a row without path or class, a split of another name, a path twice or outside the
            folder, no training rows.
    """
    rows = sorted(_rows(table))
    for (path, *_), (following, *_) in pairwise(rows):
        if path == following:
            raise _bad(table, "every path", "there once", f"{path!r} twice", "remove one of the rows")
    parts = {part for _, _, part in rows}
    if not parts & {"all", "train"}:
        got = f"only {', '.join(sorted(parts))}" if parts else "no rows"
        raise _bad(table, "training rows", "there", got, "mark them with split=train")
    return {part: _named(table, [row for row in rows if row[2] == part]) for part in parts}


def _named(table: Path, rows: list[Row]) -> Named:
    vocabulary, codes = np.unique([row[1] for row in rows], return_inverse=True)
    root = table.parent
    items = FileItems(tuple(root / path for path, _, _ in rows))
    names = tuple(path for path, _, _ in rows)
    return Named(items, codes.astype(np.int64), [str(name) for name in vocabulary], names)


def _rows(table: Path) -> Iterator[Row]:
    for row in each_row(table):
        if isinstance(row, RowError):
            raise row
        yield row


def each_row(table: Path) -> Iterator[Row | RowError]:
    """The rows in the order of the file; in place of one that cannot be taken, the error that says why.

    Raises:
        DataError: not a CSV in UTF-8 (any more, from this row on), or no path column.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = _columns(table, reader.fieldnames or ())
            for row in reader:
                yield _row(table, reader.line_num, row, columns)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _bad(table, "the table", "a CSV in UTF-8", str(error), "save it as CSV, UTF-8, with commas") from error


def _columns(table: Path, fields: object) -> dict[str, str]:
    """Meaning -> the column's name in this file."""
    given = {str(name).strip().lower(): str(name) for name in fields}  # type: ignore[attr-defined]
    columns = {meaning: given[name] for meaning, names in _COLUMNS.items() for name in reversed(names) if name in given}
    if "path" not in columns:
        got = ", ".join(given) or "an empty file"
        raise _bad(
            table, "the columns", "path, class and, where wanted, split", got, "add a first line that names them"
        )
    return columns


def _row(table: Path, line: int, row: dict[str, str], columns: dict[str, str]) -> Row | RowError:
    path = (row[columns["path"]] or "").strip()
    pure = PurePosixPath(path)
    if not path or not _inside(table.parent, pure):
        must, fix = "inside the table's folder", "give it relative to there"
        return _row_error(table, "outside", path, (f"the path in line {line}", must, repr(path), fix))
    label = (row[columns["class"]] or "").strip() if "class" in columns else pure.parts[0] if pure.parent.name else ""
    if not label:
        fault = (f"the class in line {line}", "given", "none", "fill in the class column")
        return _row_error(table, "no-class", str(pure), fault)
    if "split" not in columns:
        return str(pure), label, "all"
    word = (row[columns["split"]] or "").strip().lower()
    if word not in SYNONYMS:
        fault = (f"the split in line {line}", "train, val or test", repr(word), "name one of the three")
        return _row_error(table, "no-split", str(pure), fault)
    return str(pure), label, SYNONYMS[word]


def _inside(root: Path, path: PurePosixPath) -> bool:
    """Whether a path stays in the folder, also where links lead elsewhere or in circles."""
    if path.is_absolute() or ".." in path.parts or "\0" in str(path):
        return False
    return Path(os.path.realpath(root / path)).is_relative_to(os.path.realpath(root))


def _row_error(table: Path, kind: str, path: str, fault: tuple[str, str, str, str]) -> RowError:
    what, must, got, fix = fault
    error = RowError(str(table), what, must, got=got, fix=fix)
    error.kind, error.path = kind, path
    return error


def _bad(table: Path, what: str, must: str, got: str, fix: str) -> DataError:
    return DataError(str(table), what, must, got=got, fix=fix)
