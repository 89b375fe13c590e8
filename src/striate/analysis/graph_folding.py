"""What of a network its graph shows: rows and the edges between, repeated blocks once where nothing looks into them."""

from collections.abc import Sequence
from dataclasses import dataclass

from striate.analysis.families import family
from striate.analysis.repeats import Line, each_row, lines_of, repetitions, stands_for
from striate.analysis.summary import Row
from striate.analysis.trace import INPUT


@dataclass(frozen=True, slots=True)
class Frame:
    """A box around nodes that belong together: a block with a join, or blocks that repeat.

    Args:
        label: the module's path, and how often it repeats.
        nodes: the numbers of the rows in it.
    """

    label: str
    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Folded:
    """A graph to draw.

    Args:
        lines: the rows that are nodes.
        edges: from row to row, -1 is the input.
        frames: boxes, the larger ones first.
    """

    lines: tuple[Line, ...]
    edges: tuple[tuple[int, int], ...]
    frames: tuple[Frame, ...]


def folded(rows: Sequence[Row]) -> Folded:
    """The nodes and edges that show the network."""
    lines = _lines(rows)
    shown = stands_for(lines)
    edges = {(shown.get(source, INPUT), line.number) for line in lines for source in line.row.sources}
    return Folded(lines, tuple(sorted(edge for edge in edges if edge[0] < edge[1])), _frames(lines))


def _lines(rows: Sequence[Row]) -> tuple[Line, ...]:
    """Repeated blocks once, but those that others take from in the middle."""
    single = each_row(rows)
    lines: list[Line] = []
    for line in lines_of(rows):
        if line.count == 1 or _closed(rows, line):
            lines.append(line)
        elif line.number == line.block.start:
            length = len(line.block) * line.count
            lines += single[line.number : line.number + length]
    return tuple(lines)


def _closed(rows: Sequence[Row], line: Line) -> bool:
    """Whether rows behind take from the last block alone, or from all blocks alike."""
    step = len(line.block)
    stop = line.block.start + step * line.count
    for row in rows[stop:]:
        taken = [source - line.block.start for source in row.sources if line.block.start <= source < stop]
        blocks: dict[int, set[int]] = {}
        for place in taken:
            blocks.setdefault(place % step, set()).add(place // step)
        if any(found not in ({line.count - 1}, set(range(line.count))) for found in blocks.values()):
            return False
    return True


def _frames(lines: Sequence[Line]) -> tuple[Frame, ...]:
    """Modules in which branches join, and repeated blocks; of those with the same nodes one."""
    often = repetitions(lines)
    found: dict[tuple[int, ...], str] = {}
    for line in lines:
        path = line.row.path
        if family(line.row) == "join" and path:
            nodes = tuple(one.number for one in lines if one.row.path == path or one.row.path.startswith(f"{path}."))
            found[nodes] = line.name.rpartition(".")[0] + (f"  {often[line.block]}" if line.count > 1 else "")
    for line in lines:
        if line.count > 1 and line.number == line.block.start:
            found.setdefault(tuple(line.block), often[line.block])
    ordered = sorted(found.items(), key=lambda one: -len(one[0]))
    return tuple(Frame(label, nodes) for nodes, label in ordered if len(nodes) > 1 or label in often.values())
