"""What every kind of data is brought to before a pixel is looked at: samples with class numbers, by part.

Class numbers come from the sorted class names of the training set and are the same, by name, in every part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from striate.base.errors import DataError
from striate.data.items import ArrayItems, Items
from striate.data.kinds import Kind, kind_of

PARTS = ("all", "train", "validation", "test")
SYNONYMS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The pictures of one part, not decoded yet.

    Args:
        items: what gives the pictures.
        labels: class numbers (N,).
        names: the path relative to the root, or "train/17" for the 17th of an array; unique.
        groups: what belongs together, such as the pictures of one patient, by name; None where nothing is known.
    """

    items: Items
    labels: Int64[np.ndarray, " N"]
    names: tuple[str, ...]
    groups: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def pick(self, rows: Int64[np.ndarray, " K"]) -> "Samples":
        """The samples at these positions, in this order."""
        names = tuple(self.names[i] for i in rows)
        groups = None if self.groups is None else tuple(self.groups[i] for i in rows)
        return Samples(self.items.pick(rows), self.labels[rows], names, groups)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Data found and labelled, with nothing decoded.

    Args:
        name: short, for the name of a run.
        location: where it lies, for messages and the record.
        classes: names; a class number is a position in them.
        channels: 1 where every picture is grey; else 3, or as many bands as every picture has.
        size: (height, width) in pixels where all pictures share one.
        parts: either "all", or "train" with or without "validation" and "test".
        notes: what a person should know about how the data was read.
        kind: what the numbers of every picture are; "uint8" where they differ.
    """

    name: str
    location: str
    classes: tuple[str, ...]
    channels: int
    size: tuple[int, int] | None
    parts: dict[str, Samples]
    notes: tuple[str, ...] = ()
    kind: Kind = "uint8"


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """Samples of one part with classes by name: sample i is of class vocabulary[codes[i]]."""

    items: Items
    codes: Int64[np.ndarray, " N"]
    vocabulary: Sequence[str]
    names: tuple[str, ...]
    groups: tuple[str, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one picture of an array: (H, W) or (H, W, C)."""
        assert isinstance(self.items, ArrayItems)
        return self.items.array.shape[1:]

    @property
    def kind(self) -> Kind:
        """Of the pictures of an array."""
        assert isinstance(self.items, ArrayItems)
        kind = kind_of(self.items.array.dtype)
        assert kind is not None
        return kind


def class_order(names: set[str]) -> tuple[str, ...]:
    """Class names in the order of their numbers: sorted as text, or by value where all are whole numbers.

    >>> class_order({"10", "9"}), class_order({"ten", "9"})
    (('9', '10'), ('9', 'ten'))
    """
    if all(name.isascii() and name.isdigit() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def align(where: str, named: Mapping[str, Named]) -> tuple[tuple[str, ...], dict[str, Samples], tuple[str, ...]]:
    """Number the classes by the training set and carry the numbers to every part by name.

    Args:
        where: the data, for messages.
        named: "all", or "train" with or without the others.

    Returns:
        classes, parts in the order train, validation, test, and notes on classes that a part lacks.

    Raises:
        DataError: fewer than two classes, or a part has a class that training lacks.
    """
    used = {part: _used(samples) for part, samples in named.items()}
    main = "all" if "all" in named else "train"
    classes = class_order(used[main])
    if len(classes) < 2:
        got = f"{len(classes)} ({', '.join(map(repr, classes))})" if classes else "none"
        raise DataError(where, "the number of classes", "at least 2", got=got, fix="add a second class of pictures")
    notes = []
    for part in (p for p in PARTS if p in named):
        unknown = used[part] - set(classes)
        if unknown:
            raise DataError(
                where,
                f"every class of {part}",
                "a class of training too",
                got=f"{_list(unknown)}, which training lacks",
                fix=f"rename or remove it, or add training pictures of it; training has {_list(classes)}",
            )
        lacking = [name for name in classes if name not in used[part]]
        if lacking:
            notes.append(f"{part} has no pictures of {_list(lacking)}")
    number = {name: i for i, name in enumerate(classes)}
    parts = {part: _numbered(named[part], number) for part in PARTS if part in named}
    return classes, parts, tuple(notes)


def _used(samples: Named) -> set[str]:
    return {samples.vocabulary[code] for code in np.unique(samples.codes)}


def _numbered(samples: Named, number: Mapping[str, int]) -> Samples:
    table = np.array([number.get(name, -1) for name in samples.vocabulary], dtype=np.int64)
    return Samples(samples.items, table[samples.codes], samples.names, samples.groups)


def _list(names: Sequence[str] | set[str], most: int = 10) -> str:
    ordered = sorted(names)
    rest = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(map(repr, ordered[:most])) + rest


def array_names(part: str, count: int) -> tuple[str, ...]:
    """Names for the samples of an array.

    >>> array_names("train", 2)
    ('train/0', 'train/1')
    """
    return tuple(f"{part}/{i}" for i in range(count))
