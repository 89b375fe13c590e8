"""Where a drawing begins a new line: lines about as long as each other, and nothing cut that belongs together.

cost of a line    1 + (room left / room)^2 + CUT for each arc, repetition, or fork from its join that its end cuts
"""

from collections.abc import Sequence
from itertools import accumulate

from striate.analysis.drawing_blocks import Fork, Part
from striate.analysis.drawing_flow import GAP, Flow
from striate.analysis.svg import Length

LINE = 1120  # pixels
CUT = 0.7


def broken(flow: Flow, parts: Sequence[Part]) -> list[list[Part]]:
    """The parts line by line, at the least cost; one that is longer than a line has a line to itself."""
    widths = [flow.extent(part).width for part in parts]
    room = max(LINE, *widths)
    until = [0, *accumulate(width + GAP for width in widths)]
    spans = [arc[:2] for arc in flow.arcs(parts)] + [repeat[:2] for repeat in flow.repeats(parts)]
    spans += [(place, place + 1) for place, part in enumerate(parts) if isinstance(part, Fork)]
    cuts = [CUT * sum(1 for first, last in spans if first < place <= last) for place in range(len(parts))] + [0]
    best, before = [0.0], [0]  # the least cost of all lines until there, and where the last of them begins
    for end in range(1, len(parts) + 1):
        fitting = [begin for begin in range(end) if until[end] - until[begin] - GAP <= room]
        costs = [best[begin] + 1 + _slack(room, until[end] - until[begin] - GAP) + cuts[end] for begin in fitting]
        best.append(min(costs))
        before.append(fitting[costs.index(best[-1])])
    lines: list[list[Part]] = []
    end = len(parts)
    while end:
        lines.insert(0, list(parts[before[end] : end]))
        end = before[end]
    return lines


def _slack(room: Length, width: Length) -> float:
    return (1 - width / room) ** 2
