"""The computational graph as a picture: rows as nodes, tensors as edges, branches side by side.

Data flows downwards.  Beside an edge stands the shape of one sample's tensor.  With gradients, dashed arrows lead back
the way on which training needs dL/dy, every node says of what its backward step gives the gradient, and the head how.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise

from striate.analysis import svg
from striate.analysis.backward import Back, backwards
from striate.analysis.families import COLOURS, caption, family
from striate.analysis.graph_folding import Folded, Frame, folded
from striate.analysis.graph_layout import Edge, Layout, layout
from striate.analysis.repeats import Line
from striate.analysis.summary import Row, Summary
from striate.analysis.svg import Length
from striate.analysis.trace import INPUT
from striate.base.operations import Shape, written

ROW, PAD = 13, 7  # pixels of a line of text, and around it
STRAIGHT, BENT, PORT = 36, 50, 28  # between layers, where all edges are straight or not; between edges that arrive
MARGIN, BROADEST = 24, 260
LARGE, SMALL = 11, 10
ASIDE, SHAPE = 9, 19  # between an edge and its gradient's; below a node, for the shape beside the edge
Box = tuple[Length, Length, Length, Length]  # left, top, right, bottom
STYLE = (
    ".striate-picture{color:#1d1d1f}.striate-picture text{font-size:10px;fill:currentColor}"
    ".striate-picture .name{font-size:11px;font-weight:600}.striate-picture .dim{opacity:.7}"
    ".striate-picture .edge{stroke:currentColor;stroke-opacity:.75;fill:none;stroke-width:1.2}"
    ".striate-picture .back{stroke:#d55e00;fill:none;stroke-width:1.1;stroke-dasharray:4 3}"
    ".striate-picture .gradient{fill:#b34d00}.striate-picture .node{fill:#fff;stroke:currentColor;stroke-opacity:.5}"
    ".striate-picture .frame{fill:currentColor;fill-opacity:.05;stroke:currentColor;stroke-opacity:.25}"
    "@media (prefers-color-scheme:dark){.striate-picture{color:#e8e8ea}.striate-picture .node{fill:#26262a}"
    ".striate-picture .gradient{fill:#ff9a4d}}"
)
_ARROW = (
    '<marker id="striate-{0}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0L8 4L0 8z" fill="{1}"/></marker>'
)
_ARROWS = f"<defs>{_ARROW.format('on', 'currentColor')}{_ARROW.format('back', '#d55e00')}</defs>"


@dataclass(frozen=True, slots=True)
class _Node:
    """A box with its lines of text, each with the class that paints it; `arrivals` have room side by side."""

    colour: str
    lines: tuple[tuple[str, str], ...]
    title: str
    arrivals: int = 1

    @property
    def width(self) -> Length:
        widest = max(svg.width_of(text, LARGE * svg.BOLD if kind == "name" else SMALL) for text, kind in self.lines)
        return max(widest + 2 * PAD + 4, PORT * self.arrivals)

    @property
    def height(self) -> Length:
        return ROW * len(self.lines) + PAD


@dataclass(frozen=True, slots=True)
class _Drawing:
    """What has been laid out: nodes, where they are, and the top and bottom of every layer."""

    nodes: Mapping[int, _Node]
    rows: Mapping[int, Row]
    edges: Sequence[Edge]
    graph: Folded
    placed: Layout
    tops: Sequence[Length]
    bottoms: Sequence[Length]

    def box(self, node: int) -> Box:
        """Left, top, right, bottom of a node."""
        one, layer = self.nodes[node], self.placed.layer[node]
        x, y = self.placed.at(node), self.tops[layer]
        return x - one.width / 2, y, x + one.width / 2, y + one.height


def graph(summary: Summary) -> str:
    """The graph of the forward pass as an SVG picture."""
    return _picture(summary, {})


def graph_with_gradients(summary: Summary) -> str:
    """The same with the way back."""
    found = enumerate(backwards(summary.rows))
    return _picture(summary, {number: back for number, back in found if back is not None})


def _picture(summary: Summary, backs: Mapping[int, Back]) -> str:
    said = list(_explained(summary, backs))
    drawn = _laid_out(summary, backs, 34 + 14 * len(said))
    boxes = [drawn.box(node) for node in drawn.nodes]
    bends = list(drawn.placed.x.values())
    left = min([box[0] for box in boxes] + bends) - MARGIN
    right = max([box[2] for box in boxes] + bends) + MARGIN + 70  # shapes stand at the right of edges
    title = f"{summary.title}, input {written(summary.input_shape)}"
    heads = [svg.width_of(title, LARGE * svg.BOLD), *(svg.width_of(text, SMALL) for text in said)]
    right = max(right, left + 2 * MARGIN + max(heads))
    content = [
        svg.text(left + MARGIN, 20, title, "name", anchor="start"),
        *(svg.text(left + MARGIN, 34 + 14 * n, text, "dim", anchor="start") for n, text in enumerate(said)),
        *_frames(drawn),
        *_edges(drawn, summary, backs),
        *(_node(drawn, node) for node in drawn.nodes),
    ]
    moved = svg.group(content, attributes=f'transform="translate({svg.number(-left)} 0)"')
    size = (right - left, drawn.bottoms[-1] + MARGIN)
    return svg.picture(size, f"{title}, its graph", STYLE, [_ARROWS, moved])


def _explained(summary: Summary, backs: Mapping[int, Back]) -> Iterator[str]:
    """What the dashed arrows are, and how each kind of row comes to dL/dx."""
    if backs:
        yield "dashed: the way of the gradients in training, from dL/dy of the output"
    kinds: dict[str, list[str]] = {}
    for number, back in backs.items():
        kind = summary.rows[number].kind
        if back.way and kind not in kinds.setdefault(back.way, []):
            kinds[back.way].append(kind)
    yield from (f"dL/dx of {', '.join(names)}: {way}" for way, names in kinds.items())


def _laid_out(summary: Summary, backs: Mapping[int, Back], y: Length) -> _Drawing:
    """Everything at its place, from y on downwards."""
    shown = folded(summary.rows)
    output = len(summary.rows)
    inner = (INPUT, *(line.number for line in shown.lines))
    edges = [*shown.edges, *((node, output) for node in inner if node not in {source for source, _ in shown.edges})]
    arrivals = Counter(target for _, target in edges)
    nodes = {INPUT: _Node(COLOURS["input"], (("input", "name"),), "input")}
    nodes |= {line.number: _of(line, backs.get(line.number), arrivals[line.number]) for line in shown.lines}
    ending = [("output", "name"), *([("dL/dy", "gradient")] if backs else [])]
    nodes[output] = _Node(COLOURS["input"], tuple(ending), "output", arrivals[output])
    placed = layout({node: one.width for node, one in nodes.items()}, edges)
    tops: list[Length] = []
    bottoms: list[Length] = []
    y += 18 if shown.frames else 0
    for layer in range(len(placed.layers)):
        tops.append(y)
        y += max(nodes[node].height for node, own in placed.layer.items() if own == layer)
        bottoms.append(y)
        y += STRAIGHT if placed.straight_below(layer, edges) else BENT
    rows = {line.number: line.row for line in shown.lines}
    return _Drawing(nodes, rows, edges, shown, placed, tops, bottoms)


def _of(line: Line, back: Back | None, arrivals: int) -> _Node:
    name = svg.shortened(line.name, SMALL, BROADEST)
    lines = [(caption(line.row), "name"), *([(name, "dim")] if name != caption(line.row) else [])]
    lines += [(str(back), "gradient")] if back else []
    told = f"{line.name}: {caption(line.row)}, {written(line.row.output_shape)}"
    return _Node(COLOURS[family(line.row)], tuple(lines), told, arrivals)


def _node(drawn: _Drawing, node: int) -> str:
    left, top, right, bottom = drawn.box(node)
    one = drawn.nodes[node]
    lines = [
        svg.text((left + right) / 2 + 2, top + ROW * (n + 1) - 1, text, kind)
        for n, (text, kind) in enumerate(one.lines)
    ]
    box = svg.rectangle(left, top, right - left, bottom - top, 'rx="3" class="node"')
    mark = svg.rectangle(left, top, 5, bottom - top, f'fill="{one.colour}"')
    row = f'data-row="{node}"' if node in drawn.rows else ""
    return svg.group([box, mark, *lines], title=one.title, attributes=row)


def _edges(drawn: _Drawing, summary: Summary, backs: Mapping[int, Back]) -> Iterator[str]:
    ports = _ports(drawn)
    for edge in drawn.edges:
        yield svg.path(_way(drawn, edge, ports[edge]), 'class="edge" marker-end="url(#striate-on)"')
        source, target = edge
        gradient = target not in drawn.rows or (target in backs and backs[target].way)
        if gradient and source in backs:
            yield svg.path(_way_back(drawn, edge, ports[edge]), 'class="back" marker-end="url(#striate-back)"')
        told = _seen(drawn.rows, edge, summary.input_shape)
        if told is not None:  # the tensor has been given another shape on the way
            y = drawn.tops[drawn.placed.layer[target]] - 5
            yield svg.text(ports[edge] + 5, y, written(told), "dim", anchor="start")
    for node in (INPUT, *drawn.rows):
        shape = summary.input_shape if node == INPUT else drawn.rows[node].output_shape
        x, bottom = drawn.placed.at(node) + (ASIDE + 5 if backs else 5), drawn.box(node)[3]
        yield svg.text(x, bottom + 12, written(shape) or "1", "dim", anchor="start")


def _seen(rows: Mapping[int, Row], edge: Edge, input_shape: Shape) -> Shape | None:
    """The shape in which a row takes from another, where it is not the one that this gives."""
    source, row = edge[0], rows.get(edge[1])
    given = input_shape if source == INPUT else rows[source].output_shape
    if row is None or given in row.input_shapes or len(row.input_shapes) != 1 or len(row.sources) != 1:
        return None
    return row.input_shapes[0]


def _ports(drawn: _Drawing) -> dict[Edge, Length]:
    """Where each edge arrives at its target: side by side, in the order of what they come from."""
    into: dict[int, list[Edge]] = {}
    for edge in drawn.edges:
        into.setdefault(edge[1], []).append(edge)
    ports = {}
    for target, edges in into.items():
        edges.sort(key=lambda edge: drawn.placed.x[drawn.placed.route(edge)[-2]])
        middle = drawn.placed.at(target)
        apart = min(PORT, (drawn.nodes[target].width - 12) / len(edges))
        for order, edge in enumerate(edges):
            ports[edge] = middle + apart * (order - (len(edges) - 1) / 2)
    return ports


def _points(drawn: _Drawing, edge: Edge, port: Length) -> list[tuple[Length, Length, Length]]:
    """An edge as stretches straight down: x, from y to y; the first leaves the node, the last is its arrival."""
    source, target = edge
    way = drawn.placed.route(edge)
    x, bottom = drawn.placed.at(source), drawn.box(source)[3]
    points = [(x, bottom, drawn.bottoms[drawn.placed.layer[source]] + SHAPE)]
    points += [(drawn.placed.x[bend], drawn.tops[bend[1]] - 6, drawn.bottoms[bend[1]] + SHAPE) for bend in way[1:-1]]
    top = drawn.tops[drawn.placed.layer[target]]
    return [*points, (port, top - 8, top)]


def _way(drawn: _Drawing, edge: Edge, port: Length) -> str:
    points = _points(drawn, edge, port)
    x, y, end = points[0]
    drawn_ = f"M{svg.number(x)} {svg.number(y)}V{svg.number(end)}"
    return drawn_ + "".join(_turn(*a, *b) for a, b in pairwise(points))


def _turn(x: Length, _: Length, y: Length, to: Length, top: Length, end: Length) -> str:
    """From the end of one stretch to that of the next."""
    middle = (y + top) / 2
    curve = [(x, middle), (to, middle), (to, top)]
    return "C" + " ".join(f"{svg.number(a)} {svg.number(b)}" for a, b in curve) + f"V{svg.number(end)}"


def _way_back(drawn: _Drawing, edge: Edge, port: Length) -> str:
    """The same, beside it, upwards: at its right, which is above it where it leads to the right."""
    points = [(x + ASIDE, top, bottom) for x, top, bottom in _points(drawn, edge, port)][::-1]
    x, _, y = points[0]
    way = f"M{svg.number(x)} {svg.number(y)}"
    for (a, top, _), (b, upper, lower) in pairwise(points):
        apart = max(-5, min(5, (b - a) / 4))
        middle = (top + lower) / 2 + apart
        curve = [(a, middle), (b, middle), (b, lower + apart)]
        turned = " ".join(f"{svg.number(p)} {svg.number(q)}" for p, q in curve)
        way += f"V{svg.number(top + apart)}C{turned}V{svg.number(upper)}"
    return way


def _frames(drawn: _Drawing) -> Iterator[str]:
    for frame in drawn.graph.frames:
        box = _around(drawn, frame)
        if box is not None:
            left, top, right, bottom = box
            yield svg.rectangle(left, top, right - left, bottom - top, 'rx="6" class="frame"')
            yield svg.text(left + 5, top + 11, frame.label, "dim", anchor="start")


def _around(drawn: _Drawing, frame: Frame) -> Box | None:
    """The box around nodes and the edges within; None where others would lie in it."""
    boxes = [drawn.box(node) for node in frame.nodes]
    inside = set(frame.nodes)
    first, last = (pick(drawn.placed.layer[node] for node in inside) for pick in (min, max))
    bends = [
        drawn.placed.x[place]
        for edge in drawn.edges
        if edge[1] in inside
        for place in drawn.placed.route(edge)[1:-1]
        if first <= place[1] <= last
    ]
    left, right = (
        min([box[0] for box in boxes] + bends) - 10,
        max([box[2] for box in boxes] + [x + ASIDE for x in bends]) + 10,
    )
    top, bottom = min(box[1] for box in boxes) - 17, max(box[3] for box in boxes) + 6
    entry = min(drawn.placed.at(node) for node in inside if drawn.placed.layer[node] == first)
    wide = min(left, entry - 14 - svg.width_of(frame.label, SMALL))  # the label beside the edge that comes in
    return _free(drawn, inside, (wide, top, right, bottom)) or _free(drawn, inside, (left, top, right, bottom))


def _free(drawn: _Drawing, inside: Set[int], box: Box) -> Box | None:
    """The box, if no other node lies in it."""
    left, top, right, bottom = box
    for node in set(drawn.nodes) - inside:
        a, b, c, d = drawn.box(node)
        if a < right and c > left and b < bottom and d > top:
            return None
    return box
