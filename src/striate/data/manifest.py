"""Which picture is in which split, and what it held: the run folder's manifest.csv, and what has changed since.

    split,class,path,sha256        one line a picture; SHA-256 of the file's bytes, or of the pixels of an array

Paths that are no UTF-8 keep their bytes, as Python writes them to a disk.
"""

import csv
import io
from dataclasses import dataclass

from striate.data.dataset import Dataset

COLUMNS = ("split", "class", "path", "sha256")

Rows = dict[tuple[str, str], tuple[str, str]]  # (split, path) -> (class, digest)


def manifest(rows: Rows) -> bytes:
    """The file's content."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for (split, path), (name, digest) in rows.items():
        writer.writerow((split, name, path, digest))
    return text.getvalue().encode("utf-8", "surrogateescape")


def rows_of(dataset: Dataset) -> Rows:
    """Every picture of a set."""
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    rows: Rows = {}
    for (title, split), digests in zip(splits.items(), dataset.digests, strict=True):
        for path, label, digest in zip(split.names, split.labels.tolist(), digests, strict=True):
            rows[title, path] = dataset.classes[label], digest.hex()
    return rows


def read_manifest(content: bytes) -> Rows:
    """What `manifest` wrote.

    Raises:
        ValueError: it is no manifest.
    """
    reader = csv.reader(io.StringIO(content.decode("utf-8", "surrogateescape"), newline=""), strict=True)
    try:
        if tuple(next(reader, ())) != COLUMNS:
            raise ValueError("other columns")
        return {(split, path): (name, digest) for split, name, path, digest in reader}
    except csv.Error as error:
        raise ValueError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Difference:
    """Paths that are not as they were."""

    changed: tuple[str, ...]
    missing: tuple[str, ...]
    new: tuple[str, ...]

    def __str__(self) -> str:
        told = []
        for what, paths in (("changed", self.changed), ("missing", self.missing), ("new", self.new)):
            if paths:
                told.append(f"{len(paths)} {what} (first {paths[0]!r})")
        return ", ".join(told)


def difference(before: Rows, now: Rows) -> Difference:
    """What has changed: content, class or split.

    >>> str(difference({("train", "a"): ("x", "00")}, {("train", "a"): ("x", "11"), ("test", "b"): ("x", "22")}))
    "1 changed (first 'a'), 1 new (first 'b')"
    """
    then, today = ({path: (split, *rest) for (split, path), rest in rows.items()} for rows in (before, now))
    changed = sorted(path for path, row in then.items() if path in today and today[path] != row)
    return Difference(tuple(changed), tuple(sorted(then.keys() - today)), tuple(sorted(today.keys() - then)))
