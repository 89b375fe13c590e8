"""A picture of a network to scale: each map a block as high, as deep and as wide as it is in pixels and channels.

Height and depth are the map's sides, width its channels; a vector is a bar.  What works number by number and leaves the
size as it is lies as a thin coat on the block before it.  Below stand the shape, the kind, and the modules as brackets;
above, how often a block of rows repeats.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import log2

from striate.analysis import svg
from striate.analysis.families import COLOURS, caption, family
from striate.analysis.repeats import Line, lines_of
from striate.analysis.summary import Summary
from striate.analysis.svg import Length
from striate.base.operations import Shape, written

TALLEST, WIDEST = 132, 64  # pixels of the largest side and of the most channels
SMALLEST, BAR, COAT, SLANT = 3, 9, 4, 0.3
GAP, MARGIN, LINE = 16, 16, 1120  # between blocks, around, and where a new line begins
LEGEND = 640  # the least that a picture is broad
LEVELS = 2  # of modules
RANGE = 40  # sizes further apart than that are drawn by their logarithms
LARGE, SMALL = 11, 10  # font sizes
STYLE = (
    ".striate-picture{color:#1d1d1f}.striate-picture text{font-size:10px;fill:currentColor}"
    ".striate-picture .shape{font-size:11px;font-weight:600}.striate-picture .dim{opacity:.65}"
    ".striate-picture .rule{stroke:currentColor;stroke-opacity:.45;fill:none}"
    "@media (prefers-color-scheme:dark){.striate-picture{color:#e8e8ea}}"
)

Scale = Callable[[int], Length]
Span = tuple[Length, Length]  # the left end and the right


@dataclass(slots=True)
class _Block:
    """A map or vector, and the coats on it.

    Args:
        shape: of one sample.
        caption: what makes it.
        lines: the row that makes it and those that leave its size; none is the input.
        place: the left lower corner of its front, once it has one.
    """

    shape: Shape
    caption: str
    lines: list[Line] = field(default_factory=list)
    place: tuple[Length, Length] = (0, 0)


@dataclass(frozen=True, slots=True)
class _Scales:
    """Pixels on the page for pixels of a map, for channels, and for numbers of a vector."""

    side: Scale
    channels: Scale
    features: Scale
    said: str

    def box(self, shape: Shape) -> tuple[Length, Length, Length]:
        """Width, height and depth on the page."""
        if len(shape) < 2:
            return BAR, self.features(shape[0] if shape else 1), 0
        sides = shape[1:]
        return self.channels(shape[0]), self.side(sides[-2] if len(sides) > 1 else sides[0]), self._depth(sides)

    def _depth(self, sides: Shape) -> Length:
        return SLANT * self.side(sides[-1]) if len(sides) > 1 else 0


def drawing(summary: Summary) -> str:
    """The network as an SVG picture."""
    lines = lines_of(summary.rows)
    blocks = _blocks(summary.input_shape, lines)
    scales = _scales([block.shape for block in blocks])
    content: list[str] = []
    y, broad = MARGIN + LARGE + 8.0, max(LEGEND, svg.width_of(scales.said, SMALL))
    for line in _broken(blocks, scales):
        repeated = any(one.count > 1 for block in line for one in block.lines)
        y += (26 if repeated else 10) + max(_high(block, scales) for block in line)
        content += _drawn_line(line, scales, y)
        y += 34 + 18 * max(len(_modules(block)[:LEVELS]) for block in line)
        broad = max(broad, sum(_room(block, scales) for block in line))
    content += _legend(lines, scales, y + 12)
    title = f"{summary.title}, input {written(summary.input_shape)}"
    head = svg.text(MARGIN, MARGIN + LARGE, title, "shape", anchor="start")
    size = (broad + 2 * MARGIN - GAP, y + 12 + 28 + MARGIN)
    return svg.picture(size, f"{title}, drawn to scale", STYLE, [head, *content])


def _blocks(input_shape: Shape, lines: Sequence[Line]) -> list[_Block]:
    blocks = [_Block(input_shape, "input")]
    for line in lines:
        shape, kind = line.row.output_shape, family(line.row)
        coat = kind in ("activation", "normalisation", "join", "other") and not line.row.macs
        if coat and shape == blocks[-1].shape and blocks[-1].lines and blocks[-1].lines[-1].count == line.count:
            blocks[-1].lines.append(line)
        else:
            blocks.append(_Block(shape, caption(line.row), [line]))
    return blocks


def _scales(shapes: Sequence[Shape]) -> _Scales:
    maps = [shape for shape in shapes if len(shape) > 1]
    side, how = _scale([n for shape in maps for n in shape[1:]], TALLEST)
    channels, wide = _scale([shape[0] for shape in maps], WIDEST)
    features, long = _scale([shape[0] for shape in shapes if len(shape) == 1], TALLEST)
    said = [f"height and depth: sides of a map, {how}", f"width: channels, {wide}"] if maps else []
    if any(len(shape) == 1 for shape in shapes):
        said.append(f"bars: numbers of a vector, {long}")
    if any(len(shape) > 3 for shape in shapes):
        said.append("of three axes the first is written, not drawn")
    return _Scales(side, channels, features, "; ".join(said))


def _scale(sizes: Sequence[int], most: Length) -> tuple[Scale, str]:
    """Linear where the sizes are near enough to each other; 1 has no side to speak of."""
    largest = max(sizes, default=1)
    least = min((n for n in sizes if n > 1), default=1)
    if largest <= RANGE * least:
        return lambda n: max(SMALLEST, most * n / largest), "to scale"
    return lambda n: SMALLEST + (most - SMALLEST) * log2(n) / log2(largest), "logarithmic"


def _room(block: _Block, scales: _Scales) -> Length:
    """How much of a line a block takes, with what is written below it."""
    width, _, depth = scales.box(block.shape)
    drawn = width + depth + COAT * max(len(block.lines) - 1, 0)
    said = max(svg.width_of(written(block.shape), LARGE), svg.width_of(block.caption, SMALL))
    return max(drawn, said) + GAP


def _high(block: _Block, scales: _Scales) -> Length:
    """How far a block rises."""
    return sum(scales.box(block.shape)[1:])


def _broken(blocks: Sequence[_Block], scales: _Scales) -> Iterator[list[_Block]]:
    """The blocks line by line."""
    line: list[_Block] = []
    taken = 0.0
    for block in blocks:
        room = _room(block, scales)
        if line and taken + room > LINE:
            yield line
            line, taken = [], 0.0
        line.append(block)
        taken += room
    yield line


def _drawn_line(line: Sequence[_Block], scales: _Scales, y: Length) -> Iterator[str]:
    """Blocks that stand on y, with what is written above and below."""
    x, spans = float(MARGIN), []
    for block in line:
        room = _room(block, scales)
        width, _, depth = scales.box(block.shape)
        drawn = width + depth + COAT * max(len(block.lines) - 1, 0)
        block.place = (x + (room - GAP - drawn) / 2, y)
        yield _drawn(block, scales)
        centre = x + (room - GAP) / 2
        spans.append((x, x + room - GAP))
        yield svg.text(centre, y + 14, written(block.shape) or "1", "shape")
        yield svg.text(centre, y + 26, block.caption, "dim")
        x += room
    yield from _brackets(line, spans, y + 34)
    yield from _repeats(line, spans, scales, y)


def _drawn(block: _Block, scales: _Scales) -> str:
    """A cuboid in slanted projection: the front as wide as the channels, top and side going back."""
    width, height, depth = scales.box(block.shape)
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


def _brackets(line: Sequence[_Block], spans: Sequence[Span], y: Length) -> Iterator[str]:
    """The modules that blocks belong to, the outermost two."""
    deepest = max(len(_modules(block)[:LEVELS]) for block in line)
    for level in range(1, deepest + 1):
        low = y + 18 * (deepest - level)
        placed = zip((_modules(block)[:level] for block in line), spans, strict=True)
        for modules, run in groupby(placed, key=lambda one: one[0]):
            reach = [span for _, span in run]
            if len(modules) < level:
                continue
            first, last = reach[0][0], reach[-1][1]
            yield svg.path(f"M{svg.number(first)} {svg.number(low)}v3H{svg.number(last)}v-3", 'class="rule"')
            named = svg.shortened(modules[-1], SMALL, last - first + GAP - 4)
            yield svg.text((first + last) / 2, low + 13, named, "dim")


def _modules(block: _Block) -> tuple[str, ...]:
    """The modules around a block, from the outermost."""
    if not block.lines:
        return ()
    return tuple(block.lines[0].name.split(".")[:-1])


def _repeats(line: Sequence[_Block], spans: Sequence[Span], scales: _Scales, y: Length) -> Iterator[str]:
    """How often the blocks of a repetition stand for themselves."""
    placed = [(block, span) for block, span in zip(line, spans, strict=True) if block.lines]
    for (_, count), run in groupby(placed, key=lambda one: (one[0].lines[0].block, one[0].lines[0].count)):
        reach = list(run)
        if count > 1:
            first, last = reach[0][1][0], reach[-1][1][1]
            top = y - max(_high(block, scales) for block, _ in reach) - 5
            yield svg.path(f"M{svg.number(first)} {svg.number(top)}v-4H{svg.number(last)}v4", 'class="rule"')
            yield svg.text((first + last) / 2, top - 7, f"x {count}", "shape")


def _legend(lines: Sequence[Line], scales: _Scales, y: Length) -> Iterator[str]:
    """The colours that occur, and the scales."""
    kinds = {family(line.row) for line in lines}
    x = float(MARGIN)
    for kind, colour in COLOURS.items():
        if kind in kinds or kind == "input":
            yield svg.rectangle(x, y, 10, 10, f'fill="{colour}"')
            yield svg.text(x + 14, y + 9, kind, anchor="start")
            x += 14 + svg.width_of(kind, SMALL) + 18
    yield svg.text(MARGIN, y + 28, scales.said, "dim", anchor="start")
