"""Parts of a drawing in a row, on one ground: how much room they take, where they stand, and how they look.

The way of the data is a line along the ground.  It parts before branches and joins behind them; what passes over a
block is an arc above.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from striate.analysis import svg
from striate.analysis.drawing_blocks import Block, Chain, Fork, Links, Part, leaps, linked, members
from striate.analysis.drawing_scale import Scales
from striate.analysis.families import COLOURS, caption, family
from striate.analysis.svg import Length
from striate.base.operations import written

COAT, GAP, BUS = 4, 16, 18  # pixels of a coat, between parts, and for the lines before and behind branches
LABELS, BETWEEN, RAISED = 30, 12, 2  # below the ground; between branches; the line of the data above the ground
ARC, REPEAT = 9, 20  # between arcs, and for how often blocks repeat
LARGE, SMALL = 11, 10  # font sizes


@dataclass(frozen=True, slots=True)
class Extent:
    """How far something reaches, in pixels: across, above its ground, below it."""

    width: Length
    up: Length
    down: Length


@dataclass(frozen=True, slots=True)
class Flow:
    """What is needed to draw any part.

    Args:
        links: between blocks.
        scales: of the blocks.
        repeated: for each repeated block of rows, how often it is there.
    """

    links: Links
    scales: Scales
    repeated: Mapping[range, str]

    def extent(self, part: Part) -> Extent:
        """Of a part."""
        if isinstance(part, Block):
            wide = svg.width_of(written(part.shape), LARGE * svg.BOLD), svg.width_of(part.caption, SMALL)
            return Extent(max(self.solid(part), *wide), sum(self.scales.box(part.drawn)[1:]), LABELS)
        grounds, down = self.grounds(part)
        width = max(self.width(branch) for branch in part.branches) + 2 * BUS
        middle = (grounds[0] + grounds[-1]) / 2
        return Extent(width, middle, down - middle)

    def solid(self, block: Block) -> Length:
        """How wide a block is with its coats and its depth."""
        width, _, depth = self.scales.box(block.drawn)
        return width + depth + COAT * max(len(block.lines) - 1, 0)

    def width(self, chain: Sequence[Part]) -> Length:
        """Of parts in a row."""
        return sum(self.extent(part).width for part in chain) + GAP * (len(chain) - 1)

    def grounds(self, fork: Fork) -> tuple[list[Length], Length]:
        """How far below the top of a fork each branch has its ground, and the end of all."""
        found: list[Length] = []
        y: Length = 0
        for branch in fork.branches:
            found.append(y + self.up(branch))
            y = found[-1] + self.down(branch) + BETWEEN
        return found, y - BETWEEN

    def up(self, chain: Sequence[Part]) -> Length:
        """How far parts in a row rise, with arcs and what is written above."""
        highest = max(self.extent(part).up for part in chain)
        arcs = [height for *_, height in self.arcs(chain)]
        return max([highest, *arcs, *(height + REPEAT for *_, height in self.repeats(chain))])

    def down(self, chain: Sequence[Part]) -> Length:
        """How far parts in a row reach below their ground."""
        return max(self.extent(part).down for part in chain)

    def arcs(self, chain: Sequence[Part]) -> list[tuple[int, int, Block, Block, Length]]:
        """What passes over a part, with how high: the shorter arcs below the longer ones."""
        found: list[tuple[int, int, Block, Block, Length]] = []
        for first, last, a, b in sorted(leaps(chain, self.links), key=lambda leap: leap[1] - leap[0]):
            below = [height for i, j, *_, height in found if i < last and first < j]
            risen = [self.extent(part).up for part in chain[first : last + 1]]
            found.append((first, last, a, b, max([*risen, *below]) + ARC))
        return found

    def repeats(self, chain: Sequence[Part]) -> Iterator[tuple[int, int, str, Length]]:
        """Which parts stand for several, from where to where, with what is said, and how high."""
        arcs = self.arcs(chain)
        for rows, run in groupby(range(len(chain)), key=lambda place: _rows(chain[place])):
            places = list(run)
            if rows in self.repeated:
                first, last = places[0], places[-1]
                over = [height for i, j, *_, height in arcs if i < last and first < j]
                highest = max(self.extent(chain[place]).up for place in places)
                yield first, last, self.repeated[rows], max([highest, *over]) + 4


def _rows(part: Part) -> range:
    """The block of rows that all of a part belongs to; none where it belongs to several."""
    found = {block.lines[0].block for block in members(part) if block.lines}
    return found.pop() if len(found) == 1 else range(0)


def place(flow: Flow, chain: Sequence[Part], x: Length, y: Length) -> None:
    """Put parts in a row on the ground y, from x on."""
    for part in chain:
        size = flow.extent(part)
        if isinstance(part, Block):
            part.place = (x + (size.width - flow.solid(part)) / 2, y)
        else:
            for branch, ground in zip(part.branches, flow.grounds(part)[0], strict=True):
                left = x + (size.width - flow.width(branch)) / 2
                place(flow, branch, left, y - size.up + ground)
        x += size.width + GAP


def drawn(flow: Flow, chain: Sequence[Part], x: Length, y: Length) -> Iterator[str]:
    """Parts in a row that have their places: ways first, since blocks lie upon them."""
    spans = spans_of(flow, chain, x)
    ports = [_ports(flow, part, span) for part, span in zip(chain, spans, strict=True)]
    for (before, behind), (a, b) in zip(pairwise(chain), pairwise(ports), strict=True):
        if linked(before, behind, flow.links):
            yield _way(f"M{svg.number(a[1])} {svg.number(y - RAISED)}H{svg.number(b[0])}", isinstance(behind, Block))
    for part, span in zip(chain, spans, strict=True):
        if isinstance(part, Block):
            yield from _block(flow, part, sum(span) / 2)
        else:
            yield from _fork(flow, part, span, y)
    for _, _, source, target, height in flow.arcs(chain):
        yield _arc(flow, (source, target), y - height)
    for first, last, said, height in flow.repeats(chain):
        left, right = spans[first][0], spans[last][1]
        way = f"M{svg.number(left)} {svg.number(y - height)}v-4H{svg.number(right)}v4"
        yield svg.path(way, 'class="rule"')
        yield svg.text((left + right) / 2, y - height - 7, said, "shape")


def spans_of(flow: Flow, chain: Sequence[Part], x: Length) -> list[tuple[Length, Length]]:
    """From where to where each part reaches."""
    found = []
    for part in chain:
        width = flow.extent(part).width
        found.append((x, x + width))
        x += width + GAP
    return found


def _ports(flow: Flow, part: Part, span: tuple[Length, Length]) -> tuple[Length, Length]:
    """Where the data enter and leave: at the block itself, or at the ends of a fork."""
    if isinstance(part, Fork):
        return span
    return part.place[0], part.place[0] + flow.scales.box(part.drawn)[0] + COAT * max(len(part.lines) - 1, 0)


def _way(drawn_: str, arrow: bool = True) -> str:
    return svg.path(drawn_ + ("m-4 -3l4 3l-4 3" if arrow else ""), 'class="way"')


def _fork(flow: Flow, fork: Fork, span: tuple[Length, Length], y: Length) -> Iterator[str]:
    """Branches below each other, with the lines that part before them and join behind."""
    grounds, _ = flow.grounds(fork)
    top = y - flow.extent(fork).up
    for branch, ground in zip(fork.branches, grounds, strict=True):
        left = (sum(span) - flow.width(branch)) / 2
        ends = spans_of(flow, branch, left)
        entry, leave = _ports(flow, branch[0], ends[0])[0], _ports(flow, branch[-1], ends[-1])[1]
        yield _way(_elbow(span[0], y, span[0] + BUS / 2, entry, top + ground), isinstance(branch[0], Block))
        if _goes_on(flow, branch):
            yield _way(_elbow(leave, top + ground, span[1] - BUS / 2, span[1], y), arrow=False)
        yield from drawn(flow, branch, left, top + ground)


def _goes_on(flow: Flow, branch: Chain) -> bool:
    """Whether anything takes from the end of a branch."""
    last = {block.number for block in members(branch[-1])}
    return any(a in last and b not in last for a, b in flow.links)


def _elbow(x: Length, y: Length, bend: Length, to: Length, end: Length) -> str:
    """Along the ground y, up or down at the bend, along the ground `end`, with round corners."""
    y, end = y - RAISED, end - RAISED
    if abs(end - y) < 1:
        return f"M{svg.number(x)} {svg.number(y)}H{svg.number(to)}"
    r = min(5, abs(end - y) / 2, abs(bend - x), abs(to - bend))
    way = r if end > y else -r
    a, b = (svg.number(n) for n in (bend - r, bend))
    corner = f"Q{b} {svg.number(y)} {b} {svg.number(y + way)}"
    other = f"Q{b} {svg.number(end)} {svg.number(bend + r)} {svg.number(end)}"
    return f"M{svg.number(x)} {svg.number(y)}H{a}{corner}V{svg.number(end - way)}{other}H{svg.number(to)}"


def top_of(flow: Flow, block: Block, aside: Length) -> tuple[Length, Length]:
    """A point on top of a block, beside its middle."""
    _, height, depth = flow.scales.box(block.drawn)
    x, y = block.place
    return x + (flow.solid(block) + depth) / 2 + aside, y - height - depth


def _arc(flow: Flow, ends: tuple[Block, Block], y: Length) -> str:
    """From the top of one block over others to the top of another."""
    (a, up), (b, down) = top_of(flow, ends[0], 3), top_of(flow, ends[1], -3)
    path = f"M{svg.number(a)} {svg.number(up)}V{svg.number(y + 5)}q0 -5 5 -5H{svg.number(b - 5)}q5 0 5 5"
    return svg.path(f"{path}V{svg.number(down)}m-3 -4l3 4l3 -4", 'class="way"')


def _block(flow: Flow, block: Block, centre: Length) -> Iterator[str]:
    """A cuboid in slanted projection: the front as wide as the channels, top and side going back; its labels below."""
    _, y = block.place
    yield _cuboid(flow, block)
    yield svg.text(centre, y + 14, written(block.shape) or "1", "shape")
    yield svg.text(centre, y + 26, block.caption, "dim")


def _cuboid(flow: Flow, block: Block) -> str:
    width, height, depth = flow.scales.box(block.drawn)
    x, y = block.place
    slices: list[str] = []
    for order, line in enumerate(block.lines or [None]):
        colour = COLOURS[family(line.row)] if line else COLOURS["input"]
        across = width if order == 0 else COAT
        faces = [svg.rectangle(x, y - height, across, height, f'fill="{colour}"')]
        if depth:
            top = [(x, y - height), (x + depth, y - height - depth)]
            top += [(x + across + depth, y - height - depth), (x + across, y - height)]
            faces += [svg.polygon(top, f'fill="{colour}"'), svg.polygon(top, 'fill="#fff" fill-opacity=".4"')]
        if depth and order == max(len(block.lines) - 1, 0):
            side = [(x + across, y), (x + across, y - height)]
            side += [(x + across + depth, y - height - depth), (x + across + depth, y - depth)]
            faces += [svg.polygon(side, f'fill="{colour}"'), svg.polygon(side, 'fill="#000" fill-opacity=".25"')]
        told = f"{line.name}: {caption(line.row)}, {written(line.row.output_shape)}" if line else "input"
        row = f'data-row="{line.number}"' if line else ""
        slices.append(svg.group(faces, title=told, attributes=row))
        x += across
    return "".join(slices)
