"""Texts with a class or a number: a table with the columns text and label, or one folder a class with .txt files.

FILE.csv, FILE.tsv     columns text|sentence, label|class and, where wanted, split; commas or tabs, UTF-8
FOLDER                 <class>/…/NAME.txt, UTF-8
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from striate.base.errors import DataError
from striate.data.decode import DecodeFault, read_file
from striate.data.record_set import Kind, RecordPart, Records, all_rows, number_classes, rows_by_part
from striate.data.scan import Aside, folders_in, visible
from striate.data.table import part_named
from striate.data.tokenizer import Tokenizer

_COLUMNS = {"text": ("text", "sentence"), "label": ("label", "class"), "split": ("split",)}
_SHOWN = 20
_LARGEST = float(np.finfo(np.float32).max)


class Line(NamedTuple):
    """One row of a table; the part is "all" where it has no split column."""

    text: str
    label: str
    part: str


def is_text_table(path: Path) -> bool:
    """Whether a table has a column of texts."""
    return "text" in _columns(_header(path))


def open_text_table(path: Path, kind: Kind) -> Records:
    """Read a table; `kind` is classes or numbers.

    Raises:
        DataError: no UTF-8, columns missing, a row without text or label, a label that is no number where numbers are
            wanted.
    """
    lines = _lines(path)
    where = str(path)
    parts = rows_by_part(where, [line.part for line in lines])
    labels = [line.label for line in lines]
    texts = _texts([line.text for line in lines])
    if kind == "classes":
        classes, targets = number_classes(where, labels, parts)
    else:
        classes, targets = ("label",), _numbers(where, labels)
    return Records(
        name=path.stem, location=where, kind=kind, inputs=texts, targets=targets, classes=classes, parts=parts
    )


def text_files(root: Path) -> dict[str, list[Path]]:
    """Class -> its .txt files, of the folders of a folder that have some."""
    found = {folder.name: sorted(_below(folder)) for folder in folders_in(root, Aside())}
    return {name: paths for name, paths in found.items() if paths}


def open_text_folder(root: Path) -> Records:
    """Read one folder a class.

    Raises:
        DataError: fewer than two classes, or files that are no UTF-8: all of them at once.
    """
    texts, labels, faults = [], [], []
    for name, paths in text_files(root).items():
        for path in paths:
            try:
                texts.append(read_file(path).decode("utf-8-sig"))
                labels.append(name)
            except (DecodeFault, UnicodeDecodeError) as error:
                faults.append(f"\n    {error if isinstance(error, DecodeFault) else f'{path}: not UTF-8'}")
    if faults:
        got = f"{len(faults)} that are not:{''.join(faults[:_SHOWN])}"
        raise DataError(str(root), "every text", "readable as UTF-8", got=got, fix="save them as UTF-8, or remove them")
    parts = all_rows(len(texts))
    classes, targets = number_classes(str(root), labels, parts)
    return Records(
        name=root.name,
        location=str(root),
        kind="classes",
        inputs=_texts(texts),
        targets=targets,
        classes=classes,
        parts=parts,
    )


def texts_of(part: RecordPart) -> list[str]:
    """The texts of a part, for a tokenizer to be fitted to those of training."""
    return [str(text) for text in part.records.inputs[part.rows]]


def tokenised(parts: Sequence[RecordPart], tokenizer: Tokenizer) -> tuple[RecordPart, ...]:
    """Parts of the same records, with tokens (N, W) in place of texts."""
    records = parts[0].records
    assert all(part.records is records for part in parts)
    tokens = tokenizer.encode_all([str(text) for text in records.inputs])
    read = replace(records, inputs=tokens, tokens=tokenizer.tokens)
    return tuple(RecordPart(read, part.rows) for part in parts)


def _texts(texts: list[str]) -> np.ndarray:
    """As objects: an array of fixed width would hold each text at the length of the longest."""
    held = np.empty(len(texts), dtype=object)
    held[:] = texts
    return held


def _below(folder: Path) -> list[Path]:
    found: list[Path] = []
    for entry in visible(folder):
        if entry.is_dir(follow_symlinks=False):
            found += _below(Path(entry.path))
        elif entry.name.lower().endswith(".txt") and not entry.is_symlink():
            found.append(Path(entry.path))
    return found


def _numbers(where: str, labels: list[str]) -> np.ndarray:
    values = np.empty((len(labels), 1), dtype=np.float32)
    for row, label in enumerate(labels):
        values[row] = number(where, f"the label of row {row}", label)
    return values


def number(where: str, what: str, text: str) -> float:
    """A finite number as text.

    Raises:
        DataError: another text.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= _LARGEST:
        raise DataError(
            where, what, "a finite number", got=repr(text[:80]), fix="write it as 12.5 or 1e-3, or leave out"
        )
    return value


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file, delimiter=_delimiter(path)), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _no_table(path, error) from error


def _columns(given: list[str]) -> dict[str, str]:
    """Meaning -> the column's name."""
    plain = {name.strip().lower(): name for name in given}
    return {meaning: plain[name] for meaning, names in _COLUMNS.items() for name in reversed(names) if name in plain}


def _delimiter(path: Path) -> str:
    return "\t" if path.suffix.lower() == ".tsv" else ","


def _lines(path: Path) -> list[Line]:
    columns = _columns(_header(path))
    if not {"text", "label"} <= columns.keys():
        got = ", ".join(columns.values()) or "neither"
        raise DataError(str(path), "the columns", "text and label", got=got, fix="add a first line that names them")
    lines = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True, delimiter=_delimiter(path))
            for row in reader:
                cells = {meaning: (row[name] or "").strip() for meaning, name in columns.items()}
                lines.append(_line(path, reader.line_num, cells))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _no_table(path, error) from error
    return lines


def _line(path: Path, line: int, cells: dict[str, str]) -> Line:
    for meaning in ("text", "label"):
        if not cells[meaning]:
            raise DataError(str(path), f"the {meaning} in line {line}", "given", got="none", fix="fill it in")
    part = part_named(path, line, cells["split"]) if "split" in cells else "all"
    return Line(cells["text"], cells["label"], part)


def _no_table(path: Path, error: Exception) -> DataError:
    fix = "save it as CSV with commas, or TSV with tabs, in UTF-8"
    return DataError(str(path), "the table", "a CSV or TSV in UTF-8", got=str(error)[:200], fix=fix)
