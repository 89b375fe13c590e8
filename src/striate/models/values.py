"""Values of the text notation: whole numbers, numbers, sizes and pixels, to text and back, exactly.

32          a whole number                          0.5  1e-5        a number
3           one size for every axis                 3x5              one for each; 3x is a single axis's
1  1x2      pixels on both sides of an axis         0:1x2:0          before and after it
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from striate.base.operations import Number
from striate.base.padding import Padding, Pair, Pixels
from striate.base.shapes import Size

Value = int | float | str | tuple[int | Pair, ...] | None  # what a field of an operation holds
LONGEST = 400  # characters of a value: a whole number as large as the largest float has 309


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value.

    Args:
        told: what it is, for people, with an example.
        pattern: what it looks like, as a regular expression.
        read: the value of such a text.
    """

    told: str
    pattern: str
    read: Callable[[str], Value]


def _number(text: str) -> Number:
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)


def _size(text: str) -> Size:
    parts = [int(part) for part in text.split("x") if part]
    return tuple(parts) if "x" in text else parts[0]


def _pixels(text: str) -> Pixels:
    axes = [[int(n) for n in part.split(":")] for part in text.split("x") if part]
    if not {"x", ":"} & set(text):
        return axes[0][0]
    return tuple((axis[0], axis[1]) if len(axis) == 2 else axis[0] for axis in axes)


PIXELS = Kind(
    "pixels such as 1, 1x2 (an axis each) or 0:1x2:0 (before and after)",
    r"\d+(:\d+)?(x\d+(:\d+)?)*|\d+x",
    _pixels,
)
READERS: Mapping[Any, Kind] = {  # by the type of the field
    int: Kind("a whole number such as 32", r"\d+", int),
    Number: Kind("a number such as 0.5", r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", _number),
    Size: Kind("a size such as 3, or 3x5 (an axis each)", r"\d+(x\d+)*|\d+x", _size),
    Pixels: PIXELS,
    Padding: PIXELS,
}
READERS = {**READERS, Size | None: READERS[Size]}


def written_value(value: Value) -> str:
    """The value as the notation has it.

    >>> written_value(3), written_value((3, 5)), written_value((3,)), written_value(((0, 1), 2)), written_value(1e-5)
    ('3', '3x5', '3x', '0:1x2', '1e-5')
    """
    if isinstance(value, tuple):
        axes = [":".join(map(str, axis)) if isinstance(axis, tuple) else str(axis) for axis in value]
        return f"{axes[0]}x" if axes[0] == str(value[0]) and len(axes) == 1 else "x".join(axes)
    return re.sub(r"e([+-])0*", lambda sign: "e" + sign[1].strip("+"), repr(value))
