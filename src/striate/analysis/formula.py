"""An operation as people write it: its equation, and its sizes and counts reckoned with its own numbers.

Letters: y is what comes out, x what goes in, w weights, b biases, of one sample.  o and c number channels of y and x;
i, j (h before them in three dimensions) places of y, u, v (t before them) entries of a kernel, m, n (l before them)
places of x where these are not reckoned from y's.  `c < 3` runs through 0, 1, 2.  A middle dot multiplies.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from striate.base.operations import Number

PLACES = ("", "i", "ij", "hij")  # by the number of axes
OFFSETS = ("", "u", "uv", "tuv")
SOURCES = ("", "m", "mn", "lmn")
SIDES = ((), ("length",), ("height", "width"), ("depth", "height", "width"))


@dataclass(frozen=True, slots=True)
class Reckoning:
    """A number and how it comes about.

    Args:
        what: the name of the number.
        value: the number.
        right: arithmetic in whole numbers, with floor and ceil, that comes to it.
    """

    what: str
    value: int
    right: str

    def __str__(self) -> str:
        return f"{self.what} {self.value:,} = {self.right}"


@dataclass(frozen=True, slots=True)
class Formula:
    """What an operation does.

    Args:
        equation: y from x.
        note: what the equation leaves out; empty for nothing.
        sizes: of the output, reckoned.
        parameters: how many are learnt, where weights take part.
        macs: multiply-accumulates, where there are any.
    """

    equation: str
    note: str = ""
    sizes: tuple[Reckoning, ...] = ()
    parameters: Reckoning | None = None
    macs: Reckoning | None = None


def sides(values: Sequence[int], rights: Sequence[str]) -> tuple[Reckoning, ...]:
    """The sizes of all axes of places, once where they are reckoned alike."""
    if len(set(rights)) == 1 and len(rights) > 1:
        return (Reckoning("side", values[0], rights[0]),)
    named = zip(SIDES[len(values)], values, rights, strict=True)
    return tuple(Reckoning(*one) for one in named)


def times(factors: Iterable[int]) -> str:
    """A product.

    >>> times([28, 28, 6])
    '28·28·6'
    """
    return "·".join(map(str, factors))


def without_one(first: int, *rest: int) -> list[int]:
    """The first number left out where it is 1: a batch or a row of one says nothing.

    >>> without_one(1, 28, 6), without_one(2, 28, 6)
    ([28, 6], [2, 28, 6])
    """
    return list(rest) if first == 1 else [first, *rest]


def runs(letters: Iterable[str], counts: Iterable[int]) -> list[str]:
    """What each letter runs through, those left out that do not move.

    >>> runs("uv", (5, 1))
    ['u < 5']
    """
    return [f"{letter} < {count}" for letter, count in zip(letters, counts, strict=True) if count != 1]


def over(ranges: Sequence[str], what: str, *, how: str = "sum") -> str:
    """`sum over c < 3, u < 5 of what`; `what` alone where nothing runs.

    >>> over(["c < 3"], "w[c] x[c]"), over([], "w x")
    ('sum over c < 3 of w[c] x[c]', 'w x')
    """
    return f"{how} over {', '.join(ranges)} of {what}" if ranges else what


def offsets(kernel: Sequence[int]) -> list[str]:
    """The letters of a kernel's entries, "0" along an axis of one.

    >>> offsets((3, 1))
    ['u', '0']
    """
    return [u if k > 1 else "0" for u, k in zip(OFFSETS[len(kernel)], kernel, strict=True)]


def index(place: str, stride: int, offset: str, dilation: int, before: int) -> str:
    """Where a window looks: `2i + u - 1`.

    >>> index("i", 2, "u", 1, 1), index("i", 1, "0", 1, -2)
    ('2i + u - 1', 'i + 2')
    """
    moved = f"{stride}{place}" if stride != 1 else place
    inside = f" + {dilation}{offset}" if dilation != 1 else f" + {offset}"
    border = f" {'-' if before > 0 else '+'} {abs(before)}" if before else ""
    return moved + (inside if offset != "0" else "") + border


def per_axis(values: object, axes: int) -> list[int]:
    """An option of torch's as one number an axis, the last ones where an axis has been put in front."""
    numbers = [values] if isinstance(values, int) else list(values)  # type: ignore[call-overload]
    return numbers * axes if len(numbers) == 1 else numbers[len(numbers) - axes :]


def decimal(value: Number) -> str:
    """A number as short as it can be.

    >>> decimal(1e-5), decimal(2.0), decimal(0.5946035575)
    ('1e-05', '2', '0.594604')
    """
    return f"{value:g}"
