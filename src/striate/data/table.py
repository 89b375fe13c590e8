"""A table of pictures: CSV, or one JSON object a line.

    columns     path|file|image|file_name, label|class and, where wanted, split and group|patient|subject

Paths are relative to the table's folder and stay in it.  Without a split column the rows are one part; but where every
path begins with a folder named like a part, one of them training, those are the parts.  Without a class column the
class is the first folder of the path, that of a part apart.  A group is what must not be torn apart, such as the
pictures of one patient.
"""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from striate.base.errors import DataError
from striate.data.items import FileItems
from striate.data.samples import SYNONYMS, Named

_COLUMNS = {
    "path": ("path", "file", "image", "file_name"),
    "class": ("label", "class"),
    "split": ("split",),
    "group": ("group", "patient", "subject"),
}

Cells = Mapping[str, str]  # meaning -> what stands there, without the columns that the table lacks


class Row(NamedTuple):
    """One picture; the group is "" where the table has no column for it."""

    path: str
    label: str
    part: str
    group: str


class RowError(DataError):
    """A row that cannot be taken; `path` as it gives it, `kind` a short word: outside, no-class, no-split, no-group."""

    kind = path = ""


def read_table(table: Path) -> dict[str, Named]:
    """Read the rows, by part, each part in the order of its paths.

    Raises:
        DataError: no path column, two columns for one thing, a row without path, class or group, a split of another
            name, a path twice or outside the folder, no training rows.
    """
    rows = sorted(_taken(table))
    for (path, *_), (following, *_) in pairwise(rows):
        if path == following:
            raise _bad(table, "every path", "there once", f"{path!r} twice", "remove one of the rows")
    parts = {row.part for row in rows}
    if not parts & {"all", "train"}:
        got = f"only {', '.join(sorted(parts))}" if parts else "no rows"
        raise _bad(table, "training rows", "there", got, "mark them with split=train")
    return {part: _named(table, [row for row in rows if row.part == part]) for part in sorted(parts)}


def _named(table: Path, rows: list[Row]) -> Named:
    vocabulary, codes = np.unique([row.label for row in rows], return_inverse=True)
    items = FileItems(tuple(table.parent / row.path for row in rows))
    groups = tuple(row.group for row in rows) if rows[0].group else None
    names = tuple(row.path for row in rows)
    return Named(items, codes.astype(np.int64), [str(name) for name in vocabulary], names, groups)


def _taken(table: Path) -> Iterator[Row]:
    for row in each_row(table):
        if isinstance(row, RowError):
            raise row
        yield row


def each_row(table: Path) -> Iterator[Row | RowError]:
    """The rows in the order of the file; in place of one that cannot be taken, the error that says why.

    Raises:
        DataError: after the last row that can be read: no such columns, or from there on no table.
    """
    _real.cache_clear()  # links may lead elsewhere since the last table
    lines, fault = _lines(table)
    folders = {_part_of(cells) for _, cells in lines}
    by_folder = "train" in folders and None not in folders
    for line, cells in lines:
        try:
            yield _row(table, line, cells, by_folder)
        except RowError as error:
            error.path = str(PurePosixPath(cells["path"])) if cells["path"] else ""
            yield error
    if fault is not None:
        raise fault


def _lines(table: Path) -> tuple[list[tuple[int, Cells]], DataError | None]:
    """What can be read, and why no more can."""
    lines: list[tuple[int, Cells]] = []
    try:
        for line in _json_lines(table) if table.suffix.lower() == ".jsonl" else _csv_lines(table):
            lines.append(line)  # noqa: PERF402 - what came before an error is kept
    except DataError as error:
        return lines, error
    return lines, None


def _csv_lines(table: Path) -> Iterator[tuple[int, Cells]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = _columns(table, reader.fieldnames or ())
            for row in reader:
                yield reader.line_num, {meaning: (row[name] or "").strip() for meaning, name in columns.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _bad(table, "the table", "a CSV in UTF-8", str(error), "save it as CSV, UTF-8, with commas") from error


def _json_lines(table: Path) -> Iterator[tuple[int, Cells]]:
    columns: dict[str, str] = {}
    fix = 'write lines such as {"file_name": "0.png", "label": "cat"}'
    try:
        with table.open(encoding="utf-8-sig") as file:
            for line, text in enumerate(file, start=1):
                row = json.loads(text) if text.strip() else None
                if row is None:
                    continue
                if not isinstance(row, dict):
                    raise _bad(table, f"line {line}", "a JSON object", text.strip()[:80], fix)
                columns = columns or _columns(table, row)
                yield line, {meaning: _text(table, line, row.get(name)) for meaning, name in columns.items()}
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise _bad(table, "the table", "JSON lines in UTF-8", str(error)[:200], fix) from error


def _text(table: Path, line: int, value: object) -> str:
    """A JSON value as it would stand in a CSV."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _bad(table, f"line {line}", "texts and whole numbers", repr(value)[:80], "name the class as a text")
    return str(value).strip()


def _columns(table: Path, fields: Iterable[object]) -> dict[str, str]:
    """Meaning -> the column's name in this file."""
    given = {str(name).strip().lower(): str(name) for name in fields}
    columns = {meaning: given[name] for meaning, names in _COLUMNS.items() for name in reversed(names) if name in given}
    if "path" not in columns:
        got = ", ".join(given) or "an empty file"
        raise _bad(
            table, "the columns", "path, class and, where wanted, split", got, "add a first line that names them"
        )
    several = [name for name in _COLUMNS["group"] if name in given]
    if len(several) > 1:  # one of them is finer than the other: which must stay whole is not ours to choose
        raise _bad(table, "the column of groups", "one", " and ".join(several), "rename the other")
    return columns


def _part_of(cells: Cells) -> str | None:
    """The part by the first folder of the path, where the table itself has no word for it."""
    folders = PurePosixPath(cells["path"]).parts[:-1]
    return SYNONYMS.get(folders[0].lower()) if folders and "split" not in cells else None


def _row(table: Path, line: int, cells: Cells, by_folder: bool) -> Row:
    pure = path_inside(table, line, cells["path"])
    folders = pure.parts[1:-1] if by_folder else pure.parts[:-1]
    label = cells.get("class", folders[0] if folders else "")
    if not label:
        raise _row_error(table, "no-class", (f"the class in line {line}", "given", "none", "fill in the class column"))
    group = cells.get("group", "")
    if "group" in cells and not group:
        fix = "name it, also where it is a group of one"
        raise _row_error(table, "no-group", (f"the group in line {line}", "given", "none", fix))
    if "split" in cells:
        return Row(str(pure), label, part_named(table, line, cells["split"]), group)
    return Row(str(pure), label, (by_folder and _part_of(cells)) or "all", group)


def path_inside(table: Path, line: int, text: str) -> PurePosixPath:
    """A cell's path, relative to the table's folder and within it.

    Raises:
        DataError: it leads elsewhere.
    """
    pure = PurePosixPath(text)
    if not text or not _inside(table.parent, pure):
        what = f"the path in line {line}"
        fault = (what, "inside the table's folder", repr(text), "give it relative to there")
        raise _row_error(table, "outside", fault)
    return pure


def part_named(table: Path, line: int, word: str) -> str:
    """The part that a cell of the split column means.

    Raises:
        DataError: none.
    """
    part = SYNONYMS.get(word.strip().lower())
    if part is None:
        fault = (f"the split in line {line}", "train, val or test", repr(word), "name one of the three")
        raise _row_error(table, "no-split", fault)
    return part


def _inside(root: Path, path: PurePosixPath) -> bool:
    """Whether a path stays in the folder, also where links lead elsewhere or in circles."""
    if path.is_absolute() or ".." in path.parts or "\0" in str(path):
        return False
    whole = root / path
    if not os.path.islink(whole):  # one folder holds many: what it really is, is found once
        return _real(whole.parent).is_relative_to(_real(root))
    return Path(os.path.realpath(whole)).is_relative_to(_real(root))


@lru_cache(maxsize=1024)
def _real(folder: Path) -> Path:
    return Path(os.path.realpath(folder))


def _row_error(table: Path, kind: str, fault: tuple[str, str, str, str]) -> RowError:
    what, must, got, fix = fault
    error = RowError(str(table), what, must, got=got, fix=fix)
    error.kind = kind
    return error


def _bad(table: Path, what: str, must: str, got: str, fix: str) -> DataError:
    return DataError(str(table), what, must, got=got, fix=fix)
