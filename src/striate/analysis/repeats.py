"""Blocks that repeat: rows that differ from those before them in one number of their path alone show once.

A block is a run of rows; the next is its like where kinds, shapes, counts and jumps are the same, where it takes from
the same places, counted from itself or from the beginning, and where the paths differ by the same step in one number:
`layer1.1.conv1` and `layer1.2.conv1`.  What grows from block to block, the receptive field, may differ.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from striate.analysis.summary import Row

DIGITS = re.compile(r"(\d+)")
LONGEST = 64  # rows of a block


@dataclass(frozen=True, slots=True)
class Line:
    """A row, and the rows of later blocks that are like it.

    Args:
        number: of the row.
        row: the row itself, of the first block.
        last: the same row of the last block; the row itself where nothing repeats.
        name: of all of them: "layer1.1-3.conv1".
        count: how many they are.
        block: the numbers of the first block's rows, to which it belongs.
    """

    number: int
    row: Row
    last: Row
    name: str
    count: int
    block: range


@dataclass(frozen=True, slots=True)
class _Run:
    """`count` blocks of `length` rows, the first at row `start`."""

    start: int
    length: int
    count: int


def lines_of(rows: Sequence[Row]) -> tuple[Line, ...]:
    """All rows, those of repeated blocks once."""
    return tuple(line for run in _runs(rows) for line in _lines(rows, run))


def each_row(rows: Sequence[Row]) -> tuple[Line, ...]:
    """All rows, each for itself."""
    return tuple(line for number in range(len(rows)) for line in _lines(rows, _Run(number, 1, 1)))


def stands_for(lines: Sequence[Line]) -> dict[int, int]:
    """For every row the number of the one that shows it."""
    found = {}
    for line in lines:
        step = len(line.block)
        found.update({line.number + step * k: line.number for k in range(line.count)})
    return found


def repetitions(lines: Sequence[Line]) -> dict[range, str]:
    """For every repeated block how often it is there, and whether the blocks stand side by side, each fed alike."""
    found = {}
    for line in lines:
        if line.count > 1:
            behind = range(line.block.start, line.block.start + len(line.block) * (line.count - 1))
            inside = (source in behind for one in lines if one.block == line.block for source in one.last.sources)
            found[line.block] = f"x {line.count}" if any(inside) else f"{line.count} side by side"
    return found


def _lines(rows: Sequence[Row], run: _Run) -> Iterator[Line]:
    for number in range(run.start, run.start + run.length):
        alike = [rows[number + k * run.length] for k in range(run.count)]
        name = _name([row.name for row in alike])
        yield Line(number, alike[0], alike[-1], name, run.count, range(run.start, run.start + run.length))


def _runs(rows: Sequence[Row]) -> Iterator[_Run]:
    """From each row on the repetition that covers most rows, of the shortest block that does."""
    likes = [_like(row) for row in rows]
    start = 0
    while start < len(rows):
        best = _Run(start, 1, 1)
        left = len(rows) - start
        for length in range(1, min(LONGEST, left // 2) + 1):
            hopeless = left // length * length <= best.length * best.count
            count = 1 if hopeless else _count(rows, likes, start, length)
            if count > 1 and length * count > best.length * best.count:
                best = _Run(start, length, count)
        before = _before(rows, likes, best)
        yield from (_Run(start + k, 1, 1) for k in range(before))
        yield _Run(start + before, best.length, best.count)
        start += before + best.length * best.count


def _before(rows: Sequence[Row], likes: Sequence[tuple[object, ...]], run: _Run) -> int:
    """How many rows later the same repetition begins where its modules begin: any row of a block could be its first."""
    if run.count == 1:
        return 0
    shifts = [k for k in range(run.length) if _count(rows, likes, run.start + k, run.length) >= run.count]
    return max(shifts, key=lambda k: (_together(rows, run.start + k, run.length), -k))


def _together(rows: Sequence[Row], start: int, length: int) -> tuple[int, bool]:
    """How deep the module lies in which all rows of a block run, and whether the first row has weights."""
    paths = [row.path.split(".") for row in rows[start : start + length]]
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
    return sum(1 for _ in shared), rows[start].macs > 0


def _like(row: Row) -> tuple[object, ...]:
    """What rows of repeated blocks share."""
    shapes = (row.kind, row.input_shapes, row.output_shape, DIGITS.sub("#", row.path))
    counts = (row.parameters, row.trainable, row.reused, row.macs, row.connections)
    memory = (row.activation_bytes, row.weight_bytes)
    return (*shapes, *counts, *memory, tuple((one.jump, one.status) for one in row.sights))


def _count(rows: Sequence[Row], likes: Sequence[tuple[object, ...]], start: int, length: int) -> int:
    """How many blocks of that length follow on each other."""
    count, step = 1, None
    while start + (count + 1) * length <= len(rows):
        here = range(start + count * length, start + (count + 1) * length)
        if any(likes[n] != likes[n - length] or not _from_like_places(rows, n, length) for n in here):
            break
        steps = {_step(rows[n - length].path, rows[n].path) for n in here} - {0}
        if len(steps) > 1 or None in steps or (step is not None and steps != step):
            break
        step = steps
        count += 1
    return count


def _from_like_places(rows: Sequence[Row], number: int, length: int) -> bool:
    """Whether a row takes from where its like of the block before takes, a block later or from the same row."""
    before, here = rows[number - length].sources, rows[number].sources
    return len(before) == len(here) and all(a + length in here or a in here for a in before)


def _step(before: str, after: str) -> int | None:
    """By how much the one number differs in which two paths do; None if they differ in more.

    The number is a place in a list, or part of the name of a module that holds others: conv1 and conv2 are no blocks.

    >>> _step("layer1.1.conv1", "layer1.3.conv1"), _step("block2.conv", "block3.conv"), _step("conv1", "conv2")
    (2, 1, None)
    """
    one, other = before.split("."), after.split(".")
    differ = [place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    if len(differ) != 1:
        return None if differ else 0
    a, b = one[differ[0]], other[differ[0]]
    pairs = [(m, n) for m, n in zip(DIGITS.split(a)[1::2], DIGITS.split(b)[1::2], strict=True) if m != n]
    inner = a.isdigit() or differ[0] < len(one) - 1
    return int(pairs[0][1]) - int(pairs[0][0]) if inner and len(pairs) == 1 else None


def _name(names: Sequence[str]) -> str:
    """One name for several that differ in one number.

    >>> _name(["layer1.1.conv1", "layer1.2.conv1"]), _name(["features.12", "features.14"]), _name(["relu", "relu"])
    ('layer1.1-2.conv1', 'features.12,14', 'relu')
    """
    parts = [DIGITS.split(name) for name in names]
    differ = [column for column in zip(*parts, strict=False) if len(set(column)) > 1]
    if len({len(part) for part in parts}) > 1 or len(differ) != 1:
        return names[0]
    return "".join(_numbers(column) if column == differ[0] else column[0] for column in zip(*parts, strict=True))


def _numbers(texts: Sequence[str]) -> str:
    first, *_, last = map(int, texts)
    if last - first == len(texts) - 1:
        return f"{first}-{last}"
    return ",".join(texts) if len(texts) <= 3 else f"{texts[0]},{texts[1]},..,{texts[-1]}"
