"""Where in one static array every value of a network lies, decided at export.

Values that are not alive at the same time share numbers.  The largest is placed first, each at the lowest place that
is free while it lives: greedy by size (Pisarchyk and Lee 2020, arXiv:2001.03288), near the best for the networks here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

ALIGN = 16  # numbers: 64 bytes, a cache line


@dataclass(frozen=True, slots=True)
class Value:
    """What one function writes and others read.

    Args:
        size: numbers.
        first: the call that writes it.
        last: the last call that reads or writes it.
    """

    size: int
    first: int
    last: int


def place(values: Sequence[Value]) -> tuple[list[int], int]:
    """Where each value begins, and how many numbers there are in all.

    >>> place([Value(100, 0, 1), Value(50, 1, 2), Value(80, 2, 3)])
    ([0, 112, 0], 162)
    """
    begins = [0] * len(values)
    done: list[int] = []
    for number in sorted(range(len(values)), key=lambda n: -values[n].size):
        own = values[number]
        beside = [n for n in done if values[n].first <= own.last and own.first <= values[n].last]
        begins[number] = _lowest(own.size, sorted((begins[n], begins[n] + values[n].size) for n in beside))
        done.append(number)
    return begins, max((begin + value.size for begin, value in zip(begins, values, strict=True)), default=0)


def _lowest(size: int, taken: list[tuple[int, int]]) -> int:
    at = 0
    for begin, end in taken:
        if at + size <= begin:
            break
        at = max(at, -(-end // ALIGN) * ALIGN)
    return at
