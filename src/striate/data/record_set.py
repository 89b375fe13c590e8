"""Samples of any shape with classes, labels, numbers, masks or nothing to learn: signals, volumes, texts, pictures.

    kind      inputs            targets
    classes   (N, ...)          (N,) class numbers
    labels    (N, ...)          (N, K) float32, 1 where a sample has the label, else 0
    numbers   (N, ...)          (N, K) float32
    masks     (N, C, ...)       (N, ...) class numbers, one a pixel
    none      (N, ...)          none: the input itself is what comes back

Inputs may be a file mapped into memory: a batch reads its own rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from striate.base.errors import DataError
from striate.data.batches import epoch_order
from striate.data.samples import PARTS, class_order
from striate.data.splits import stratified

Kind = Literal["classes", "labels", "numbers", "masks", "none"]
Rows = Int64[np.ndarray, " N"]

_PIECE = 2**24  # bytes looked at at once


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Records:
    """Samples found and checked.

    Args:
        name: short, for the name of a run.
        location: where they lie, for messages and the record.
        kind: what the targets are.
        inputs: (N, ...) of numbers, tokens, or texts that a tokenizer has yet to read.
        targets: as the table above; (N, 0) where there are none.
        classes: names of the classes, the labels or the numbers.
        parts: "all", or "train" with or without "validation" and "test", -> positions.
        tokens: how many tokens there are where the inputs are tokens, else 0.
        notes: what a person should know about how the data was read.
    """

    name: str
    location: str
    kind: Kind
    inputs: np.ndarray
    targets: np.ndarray
    classes: tuple[str, ...] = ()
    parts: Mapping[str, Rows] = field(default_factory=dict)
    tokens: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert len(self.inputs) == len(self.targets)

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, slots=True, eq=False)
class RecordPart:
    """Some of the records, such as those to train on; nothing is copied."""

    records: Records
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)


def divide_records(
    records: Records, *, seed: int, validation_fraction: float, test_fraction: float
) -> tuple[RecordPart, RecordPart, RecordPart]:
    """Training, validation and test; what the data lacks comes out of training as in `splits.divide`.

    Classes are taken from in proportion; samples without classes as if all were of one.

    Raises:
        ConfigError: a fraction that is needed is out of range.
    """
    parts = records.parts
    train = parts["all"] if "all" in parts else parts["train"]
    strata = records.targets if records.kind == "classes" else np.zeros(len(records), dtype=np.int64)
    taken = {}
    for draw, (part, fraction) in enumerate((("test", test_fraction), ("validation", validation_fraction))):
        if part in parts:
            taken[part] = parts[part]
        else:
            kept, out = stratified(strata[train], fraction, seed, draw=draw)
            train, taken[part] = train[kept], train[out]
    validation, test = RecordPart(records, taken["validation"]), RecordPart(records, taken["test"])
    return RecordPart(records, train), validation, test


def record_batches(
    part: RecordPart, *, seed: int, epoch: int, batch_size: int, first: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch in the order of `epoch_order`, from batch `first` on.

    Yields:
        inputs (B, ...) float32, or int64 where they are tokens, and targets: int64 classes, float32 labels or numbers
        (B, K), or the inputs themselves where the kind is none.
    """
    assert batch_size >= 1
    assert first >= 0
    order = epoch_order(len(part), seed, epoch).numpy()
    for start in range(first * batch_size, len(part), batch_size):
        yield batch_of(part.records, part.rows[order[start : start + batch_size]])


def records_in_order(part: RecordPart, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The part once, in its own order, as `record_batches` without chance."""
    assert batch_size >= 1
    for start in range(0, len(part), batch_size):
        yield batch_of(part.records, part.rows[start : start + batch_size])


def batch_of(records: Records, rows: Rows) -> tuple[Tensor, Tensor]:
    """The samples of these rows and their targets, as `record_batches` gives them."""
    x = torch.from_numpy(np.array(records.inputs[rows], dtype=np.int64 if records.tokens else np.float32))
    if records.kind == "none":
        return x, x
    numbers = records.kind in ("labels", "numbers")
    return x, torch.from_numpy(np.array(records.targets[rows], dtype=np.float32 if numbers else np.int64))


def rows_by_part(where: str, words: Sequence[str]) -> dict[str, Rows]:
    """Part of each sample -> positions of each part.

    Raises:
        DataError: nothing to train on.
    """
    given = np.array(words, dtype=str)
    parts = {part: np.flatnonzero(given == part).astype(np.int64) for part in PARTS if part in set(words)}
    if not parts.keys() & {"all", "train"}:
        got = f"only {', '.join(parts)}" if parts else "none"
        raise DataError(where, "training samples", "there", got=got, fix="mark them with split=train")
    return parts


def number_classes(
    where: str, labels: Sequence[str], parts: Mapping[str, Rows]
) -> tuple[tuple[str, ...], Int64[np.ndarray, " M"]]:
    """Classes by name, numbered by those of training, and the class of each sample.

    Raises:
        DataError: fewer than two classes, or one that training lacks.
    """
    words = np.array(labels, dtype=str)
    used = {part: {str(word) for word in np.unique(words[rows])} for part, rows in parts.items()}
    classes = class_order(used["all"] if "all" in used else used["train"])
    if len(classes) < 2:
        got = f"{len(classes)} ({', '.join(map(repr, classes))})"
        raise DataError(where, "the number of classes", "at least 2", got=got, fix="add samples of a second class")
    for part, names in used.items():
        unknown = sorted(names - set(classes))
        if unknown:
            fix = "rename or remove it, or add training samples of it"
            got = f"{', '.join(map(repr, unknown[:10]))}, which training lacks"
            raise DataError(where, f"every class of {part}", "a class of training too", got=got, fix=fix)
    number = {name: i for i, name in enumerate(classes)}
    return classes, np.array([number[str(word)] for word in words], dtype=np.int64)


def check_finite(where: str, what: str, values: np.ndarray) -> None:
    """Look at every number once, in pieces, as the float32 that it becomes.

    Raises:
        DataError: NaN, infinite or beyond float32; the row is named.
    """
    if values.dtype.kind in "iub":
        return
    step = max(1, _PIECE // max(1, values[:1].nbytes))
    for start in range(0, len(values), step):
        with np.errstate(over="ignore"):
            piece = np.asarray(values[start : start + step]).astype(np.float32)
        bad = ~np.isfinite(piece.reshape(len(piece), -1)).all(1)
        if bad.any():
            row = start + int(bad.argmax())
            found = np.asarray(values[row]).ravel()
            with np.errstate(over="ignore"):
                value = found[~np.isfinite(found.astype(np.float32))][0]
            fix = "repair or remove the row: a mean of the rest would be a guess"
            raise DataError(where, f"{what} of row {row}", "finite as float32", got=value, fix=fix)


def check_labels(where: str, targets: np.ndarray) -> None:
    """Look at every label.

    Raises:
        DataError: another number than 0 and 1.
    """
    wrong = (targets != 0) & (targets != 1)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        got = f"{targets[row, column]:g} in column {column} of row {row}"
        raise DataError(where, "every label", "0 or 1", got=got, fix="1 is yes, 0 is no; for numbers task is regress")


def all_rows(count: int) -> dict[str, Any]:
    """One part of so many samples."""
    return {"all": np.arange(count, dtype=np.int64)}
