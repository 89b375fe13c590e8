"""A picture of a network to scale: each map a block as high, as deep and as wide as it is in pixels and channels.

Height and depth are the map's sides, width its channels; a vector is a bar.  What works number by number and leaves the
size as it is lies as a thin coat on the block before it.  Branches stand below each other between the block that they
take from and the one that takes from them; a shortcut is an arc.  Below stand the shape, the kind, and the modules as
brackets; above, how often a block of rows repeats.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from striate.analysis import svg
from striate.analysis.drawing_blocks import Part, blocks_of, chain_of, leaps, linked, members, shared_modules
from striate.analysis.drawing_flow import GAP, LARGE, RAISED, SMALL, Flow, drawn, place, spans_of, top_of
from striate.analysis.drawing_lines import broken
from striate.analysis.drawing_scale import scales_of
from striate.analysis.families import COLOURS, family
from striate.analysis.graph_folding import folded
from striate.analysis.repeats import Line, repetitions
from striate.analysis.summary import Summary
from striate.analysis.svg import Length
from striate.base.operations import written

MARGIN = 24
LEGEND = 640  # the least that a picture is broad
LEVELS = 2  # of modules
STYLE = (
    ".striate-picture{color:#1d1d1f}.striate-picture text{font-size:10px;fill:currentColor}"
    ".striate-picture .shape{font-size:11px;font-weight:600}.striate-picture .dim{opacity:.65}"
    ".striate-picture .rule{stroke:currentColor;stroke-opacity:.45;fill:none}"
    ".striate-picture .way{stroke:currentColor;stroke-opacity:.6;fill:none;stroke-linejoin:round}"
    ".striate-picture .broken{stroke-dasharray:2 2}"
    "@media (prefers-color-scheme:dark){.striate-picture{color:#e8e8ea}}"
)


def drawing(summary: Summary) -> str:
    """The network as an SVG picture."""
    graph = folded(summary.rows)
    blocks, links = blocks_of(summary.input_shape, graph)
    flow = Flow(links, scales_of([block.drawn for block in blocks]), repetitions(graph.lines))
    lines = broken(flow, chain_of(blocks, links))
    content: list[str] = []
    grounds: list[Length] = []
    y: Length = MARGIN + LARGE + 8
    for number, line in enumerate(lines):
        grounds.append(y + 14 + flow.up(line))
        place(flow, line, MARGIN, grounds[-1])
        content += drawn(flow, line, MARGIN, grounds[-1])
        y = grounds[-1] + flow.down(line) + 6
        content += _brackets(flow, lines, number, y)
        y += 18 * max(len(_modules(part)) for part in line)
    content += _passages(flow, lines, grounds)
    content += _legend(graph.lines, flow.scales.said, y + 16)
    title = f"{summary.title}, input {written(summary.input_shape)}"
    head = svg.text(MARGIN, MARGIN + LARGE, title, "shape", anchor="start")
    broad = max(LEGEND, svg.width_of(flow.scales.said, SMALL), *(flow.width(line) for line in lines))
    size = (broad + 2 * MARGIN, y + 16 + 28 + MARGIN)
    return svg.picture(size, f"{title}, drawn to scale", STYLE, [head, *content])


def _modules(part: Part) -> tuple[str, ...]:
    """The outermost modules around a part."""
    return shared_modules(list(members(part)))[:LEVELS]


def _brackets(flow: Flow, lines: Sequence[Sequence[Part]], number: int, y: Length) -> Iterator[str]:
    """The modules below a line, the outermost lowest; a bracket is open where its module goes on in another line."""
    around = [_modules(part) for part in lines[number]]
    before = _modules(lines[number - 1][-1]) if number else ()
    behind = _modules(lines[number + 1][0]) if number + 1 < len(lines) else ()
    spans = spans_of(flow, lines[number], MARGIN)
    deepest = max(map(len, around))
    for level in range(1, deepest + 1):
        low = y + 18 * (deepest - level)
        for modules, run in groupby(range(len(around)), key=lambda place: around[place][:level]):
            places = list(run)
            if len(modules) == level:
                goes_on = places[-1] + 1 == len(around) and behind[:level] == modules
                went_on = places[0] == 0 and before[:level] == modules
                reach = (spans[places[0]][0], spans[places[-1]][1])
                yield from _bracket(modules[-1], reach, low, (went_on, goes_on))


def _bracket(name: str, reach: tuple[Length, Length], y: Length, open_: tuple[bool, bool]) -> Iterator[str]:
    """A line below a module, without an end where it is open there."""
    left, right = reach
    named = f"{'… ' if open_[0] else ''}{name}{' …' if open_[1] else ''}"
    ends = ("h0" if open_[0] else "v3", "" if open_[1] else "v-3")
    begin = y + 3 if open_[0] else y
    way = f"M{svg.number(left)} {svg.number(begin)}{ends[0]}H{svg.number(right)}{ends[1]}"
    yield svg.path(way, 'class="rule"')
    yield svg.text((left + right) / 2, y + 13, svg.shortened(named, SMALL, right - left + GAP - 4), "dim")


def _passages(flow: Flow, lines: Sequence[Sequence[Part]], grounds: Sequence[Length]) -> Iterator[str]:
    """Where data pass from one line to the next, along the ground, and by name where they pass over something."""
    at = {block.number: n for n, line in enumerate(lines) for part in line for block in members(part)}
    for (line, ground), (behind, below) in pairwise(zip(lines, grounds, strict=True)):
        if linked(line[-1], behind[0], flow.links):
            end = spans_of(flow, line, MARGIN)[-1][1] + 2
            yield svg.path(f"M{svg.number(end)} {svg.number(ground - RAISED)}h14", 'class="way broken"')
            yield svg.path(f"M{MARGIN - 18} {svg.number(below - RAISED)}h14", 'class="way broken"')
    for _, _, a, b in leaps([part for line in lines for part in line], flow.links):
        if at[a.number] != at[b.number]:
            x, y = top_of(flow, a, 3)
            yield svg.path(f"M{svg.number(x)} {svg.number(y)}v-8", 'class="way"')
            yield svg.text(x, y - 11, f"to {b.caption}", "dim")
            x, y = top_of(flow, b, -3)
            yield svg.path(f"M{svg.number(x)} {svg.number(y - 8)}v8m-3 -4l3 4l3 -4", 'class="way"')
            yield svg.text(x, y - 11, f"from {a.caption}", "dim")


def _legend(lines: Sequence[Line], said: str, y: Length) -> Iterator[str]:
    """The colours that occur, and the scales."""
    kinds = {family(line.row) for line in lines}
    x: Length = MARGIN
    for kind, colour in COLOURS.items():
        if kind in kinds or kind == "input":
            yield svg.rectangle(x, y, 10, 10, f'fill="{colour}"')
            yield svg.text(x + 14, y + 9, kind, anchor="start")
            x += 14 + svg.width_of(kind, SMALL) + 18
    yield svg.text(MARGIN, y + 28, said, "dim", anchor="start")
