"""The blocks of a drawing: a map or vector each, with what leaves its size as coats on it, and which leads to which.

forks   blocks that every way passes cut the network; between two cuts, what is not joined stands side by side
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import inf

from striate.analysis.families import caption, family
from striate.analysis.graph_folding import Folded
from striate.analysis.repeats import Line
from striate.analysis.svg import Length
from striate.analysis.trace import INPUT
from striate.base.operations import Shape

Links = frozenset[tuple[int, int]]  # from block to block, by their numbers, of which the first is smaller


@dataclass(slots=True)
class Block:
    """A map or vector, and the coats on it.

    Args:
        number: 0 is the input.
        shape: of one sample, as it is written.
        drawn: the same with channels first.
        lines: the row that makes it and those that leave its size; none is the input.
        place: the left lower corner of its front, once it has one.
    """

    number: int
    shape: Shape
    drawn: Shape
    lines: list[Line] = field(default_factory=list)
    place: tuple[Length, Length] = (0, 0)

    @property
    def caption(self) -> str:
        """What makes it, and those coats that have no colour of their own."""
        plain = [line for line in self.lines[1:] if family(line.row) == "other"]
        return ", ".join(caption(line.row) for line in [*self.lines[:1], *plain]) or "input"

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules around it, from the outermost."""
        return tuple(self.lines[0].name.split(".")[:-1]) if self.lines else ()


@dataclass(frozen=True, slots=True)
class Fork:
    """Branches side by side: each takes from the block before, the one behind takes from each."""

    branches: tuple["Chain", ...]


Part = Block | Fork
Chain = tuple[Part, ...]  # one after the other


def blocks_of(input_shape: Shape, graph: Folded) -> tuple[list[Block], Links]:
    """The blocks, the input first, and the links between them."""
    blocks = [Block(0, input_shape, input_shape)]
    owner = {INPUT: blocks[0]}
    into: dict[int, list[int]] = {}
    for source, target in graph.edges:
        into.setdefault(target, []).append(source)
    for line in graph.lines:
        sources = into.get(line.number, [])
        below = owner[sources[0]] if len(sources) == 1 else None
        if below is not None and _is_coat(line, below, sources[0]):
            below.lines.append(line)
        else:
            below = Block(len(blocks), line.row.output_shape, _channels_first(line), [line])
            blocks.append(below)
        owner[line.number] = below
    if len(blocks) > 1 and _is_embedding(blocks[1].lines[0]):
        blocks[0].drawn = (1, *input_shape)  # places with a number each
    links = {(owner[source].number, owner[target].number) for source, target in graph.edges}
    return blocks, frozenset(link for link in links if link[0] < link[1])


def _is_coat(line: Line, block: Block, source: int) -> bool:
    """Whether a row works number by number on what the block's last row gives."""
    kind = family(line.row)
    coat = kind in ("activation", "normalisation", "join", "other") and not line.row.macs
    last = block.lines[-1] if block.lines else None
    follows = last is not None and last.number == source and last.count == line.count
    return coat and follows and line.row.output_shape == block.shape and not _is_embedding(line)


def _is_embedding(line: Line) -> bool:
    return any(record.name == "embedding" for record in line.row.records)


def _channels_first(line: Line) -> Shape:
    shape = line.row.output_shape
    return (*shape[-1:], *shape[:-1]) if _is_embedding(line) else shape


def chain_of(blocks: Sequence[Block], links: Links) -> Chain:
    """Blocks in their order, branches side by side."""
    own = {block.number for block in blocks}
    ways = [(a if a in own else -inf, b if b in own else inf) for a, b in links if a in own or b in own]
    ways += [(n, inf) for n in own - {a for a, _ in links}]  # an output
    parts: list[Part] = []
    for cut, run in groupby(blocks, key=lambda block: not any(a < block.number < b for a, b in ways)):
        between = list(run)
        parts += between if cut else _between(between, links, whole=len(blocks))
    return tuple(parts)


def _between(blocks: Sequence[Block], links: Links, whole: int) -> Chain:
    """What stands between two cuts: a fork, or one thing that no block cuts."""
    branches = _joined(blocks, links)
    if len(branches) > 1:
        return (Fork(tuple(chain_of(branch, links) for branch in branches)),)
    return chain_of(blocks, links) if len(blocks) < whole else tuple(blocks)


def _joined(blocks: Sequence[Block], links: Links) -> list[list[Block]]:
    """Blocks that are joined without leaving them."""
    found: list[list[Block]] = []
    for block in blocks:
        near = [one for one in found if any((other.number, block.number) in links for other in one)]
        merged = [other for one in near for other in one]
        found = [one for one in found if one not in near] + [sorted([*merged, block], key=lambda one: one.number)]
    return sorted(found, key=lambda one: one[0].number)


def members(part: Part) -> Iterator[Block]:
    """Every block of a part."""
    if isinstance(part, Block):
        yield part
    else:
        yield from (block for branch in part.branches for one in branch for block in members(one))


def ends(part: Part, place: int) -> set[int]:
    """The blocks by which data enter a part (place 0) or leave it (place -1)."""
    if isinstance(part, Block):
        return {part.number}
    return {number for branch in part.branches for number in ends(branch[place], place)}


def leaps(parts: Sequence[Part], links: Links) -> list[tuple[int, int, Block, Block]]:
    """Links that pass over a part, or into one: the places of both parts, and the blocks."""
    at = {block.number: (place, block) for place, part in enumerate(parts) for block in members(part)}
    found = []
    for source, target in sorted(links):
        if source in at and target in at:
            (first, a), (last, b) = at[source], at[target]
            if first != last and not _next(parts[first : last + 1], source, target):
                found.append((first, last, a, b))
    return found


def _next(parts: Sequence[Part], source: int, target: int) -> bool:
    return len(parts) == 2 and source in ends(parts[0], -1) and target in ends(parts[1], 0)


def linked(before: Part, behind: Part, links: Links) -> bool:
    """Whether data flow from the end of one part to the beginning of the next."""
    return any((a, b) in links for a in ends(before, -1) for b in ends(behind, 0))


def shared_modules(blocks: Collection[Block]) -> tuple[str, ...]:
    """The modules in which all of them lie."""
    levels = zip(*(block.modules for block in blocks), strict=False)
    found: list[str] = []
    for names in levels:
        if len(set(names)) > 1:
            break
        found.append(names[0])
    return tuple(found)
