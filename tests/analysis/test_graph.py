"""The picture is read back: nodes from their boxes, edges from where their lines begin and end."""

import re
from collections import Counter
from itertools import pairwise
from xml.etree import ElementTree

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.analysis.networks import Bottleneck, Functional, Inception, ResNet, SideBySide, on_meta, signal
from torch import nn

from striate.analysis.backward import backwards
from striate.analysis.graph import graph, graph_with_gradients
from striate.analysis.graph_folding import folded
from striate.analysis.graph_layout import layout
from striate.analysis.inspect import inspect
from striate.models.catalogue import build

SVG = "{http://www.w3.org/2000/svg}"
OUTPUT = 10**6
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


class Dense(nn.Module):
    """Every layer takes all before it: Huang et al. 2017, arXiv:1608.06993."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(4 + 2 * n, 2, 3, padding=1) for n in range(4))

    def forward(self, x):
        maps = [x]
        for conv in self.convs:
            maps.append(conv(torch.cat(maps, 1)))
        return torch.cat(maps, 1)


class Shared(nn.Module):
    """A layer that runs twice, and a view that is no row between two rows."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x):
        y = self.fc(self.fc(x))
        return y.unflatten(1, (2, 4)).transpose(1, 2).sum(1)


NETWORKS = {
    "bottleneck": (Bottleneck(16, 8, 2), (16, 8, 8)),
    "inception": (Inception(), (16, 8, 8)),
    "dense": (Dense(), (4, 6, 6)),
    "functional": (Functional(), (3, 32, 32)),
    "signal": (signal(), (2, 64)),
    "shared": (Shared(), (8,)),
}


@pytest.fixture(scope="module", params=NETWORKS)
def summary(request):
    model, shape = NETWORKS[request.param]
    return inspect(model, shape)


def boxes(picture):
    """Row's number -> left, top, right, bottom; -1 is the input, OUTPUT the output."""
    found = {}
    for g in picture.iter(f"{SVG}g"):
        rect = g.find(f"{SVG}rect[@class='node']")
        if rect is not None:
            x, y, width, height = (float(rect.get(name)) for name in ("x", "y", "width", "height"))
            title = g.find(f"{SVG}title").text
            found[int(g.get("data-row", {"input": -1, "output": OUTPUT}.get(title, -1)))] = (
                x,
                y,
                x + width,
                y + height,
            )
    return found


def lines(picture, kind):
    return [path.get("d") for path in picture.iter(f"{SVG}path") if path.get("class") == kind]


def points(drawn):
    """Points all along a line of M, V and C."""
    found = []
    for letter, text in re.findall(r"([MVC])([^MVC]*)", drawn):
        numbers = [float(n) for n in NUMBER.findall(text)]
        if letter == "M":
            found.append(tuple(numbers))
        elif letter == "V":
            x, y = found[-1]
            found += [(x, y + (numbers[0] - y) * t / 8) for t in range(1, 9)]
        else:
            a, (b, c, d) = found[-1], zip(numbers[::2], numbers[1::2], strict=True)
            for t in (n / 16 for n in range(1, 17)):
                weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
                corners = list(zip(a, b, c, d, strict=True))
                found.append(tuple(sum(w * p for w, p in zip(weights, axis, strict=True)) for axis in corners))
    return found


def at_the_edge_of(boxes_, point, side):
    """The node whose top (1) or bottom (3) a point lies on."""
    x, y = point
    return next(n for n, box in boxes_.items() if box[0] <= x <= box[2] and abs(box[side] - y) < 0.2)


def edges(picture, kind="edge"):
    """(from, to) of every line, read from where it begins and ends."""
    nodes = boxes(picture)
    first, last = (3, 1) if kind == "edge" else (1, 3)
    ends = [(points(drawn)[0], points(drawn)[-1]) for drawn in lines(picture, kind)]
    return {(at_the_edge_of(nodes, a, first), at_the_edge_of(nodes, b, last)) for a, b in ends}


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def unfolded(summary):
    taken = {(source, number) for number, row in enumerate(summary) for source in row.sources}
    return taken | {(n, OUTPUT) for n in range(-1, len(summary.rows)) if n not in {source for source, _ in taken}}


def test_the_picture_has_the_edges_of_the_network(summary):
    picture = ElementTree.fromstring(graph(summary))
    assert sorted(boxes(picture)) == [*range(-1, len(summary.rows)), OUTPUT]
    assert edges(picture) == unfolded(summary)


@pytest.mark.parametrize("draw", [graph, graph_with_gradients])
def test_no_node_lies_on_another_and_no_line_runs_through_one(summary, draw):
    picture = ElementTree.fromstring(draw(summary))
    nodes = boxes(picture)
    for one, box in nodes.items():
        assert not any(overlap(box, other) for two, other in nodes.items() if one != two)
        inner = (box[0] + 1, box[1] + 1, box[2] - 1, box[3] - 1)
        for drawn in lines(picture, "edge") + lines(picture, "back"):
            assert not any(inner[0] < x < inner[2] and inner[1] < y < inner[3] for x, y in points(drawn)), one


def test_everything_is_within_the_picture(summary):
    picture = ElementTree.fromstring(graph_with_gradients(summary))
    (moved,) = (g for g in picture.iter(f"{SVG}g") if g.get("transform"))
    shift = float(NUMBER.search(moved.get("transform"))[0])
    width, height = float(picture.get("width")), float(picture.get("height"))
    for left, top, right, bottom in boxes(picture).values():
        assert 0 <= left + shift < right + shift <= width
        assert 0 <= top < bottom <= height


def test_branches_stand_side_by_side_in_their_order():
    summary = inspect(Inception(), (16, 8, 8))
    nodes = boxes(ElementTree.fromstring(graph(summary)))
    firsts = [number for number, row in enumerate(summary) if row.sources == (-1,)]
    assert [summary.rows[n].name for n in firsts] == ["branch1.0", "branch2.0", "branch3.0", "branch4.0"]
    assert len({nodes[n][1] for n in firsts}) == 1
    assert [nodes[n][0] for n in firsts] == sorted(nodes[n][0] for n in firsts)


def test_a_chain_stands_straight():
    nodes = boxes(ElementTree.fromstring(graph(inspect(build("lenet5"), (1, 32, 32)))))
    middles = [(left + right) / 2 for left, _, right, _ in nodes.values()]
    assert max(middles) - min(middles) < 0.2  # places are written to a tenth of a pixel


def test_a_shortcut_runs_beside_its_block_which_stays_straight():
    summary = inspect(on_meta(ResNet, (2, 1, 1, 1)), (3, 64, 64))
    nodes = boxes(ElementTree.fromstring(graph(summary)))
    block = [nodes[n] for n, row in enumerate(summary) if row.path.startswith("layer1.1")]
    assert max(l + r for l, _, r, _ in block) - min(l + r for l, _, r, _ in block) < 1  # noqa: E741


def test_shapes_stand_beside_the_edges():
    picture = ElementTree.fromstring(graph(inspect(build("lenet5"), (1, 32, 32))))
    said = ["".join(text.itertext()) for text in picture.iter(f"{SVG}text")]
    for shape in ("1x32x32", "6x28x28", "16x5x5", "400", "10"):
        assert shape in said


def test_a_shape_that_changes_on_the_way_is_told_twice():
    class Split(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x):
            return self.fc(self.fc(x).chunk(2, 1)[0].repeat(1, 2)[:, :4])

    picture = ElementTree.fromstring(graph(inspect(Split(), (4,))))
    assert [t.text for t in picture.iter(f"{SVG}text")].count("4") >= 3


def test_repeated_blocks_stand_once_in_a_frame():
    summary = inspect(on_meta(ResNet, (1, 4, 1, 1)), (3, 64, 64))
    picture = ElementTree.fromstring(graph(summary))
    shown = boxes(picture)
    assert len(shown) - 2 == len(summary.rows) - 2 * 10  # three blocks of ten rows are one
    labels = [text.text for text in picture.iter(f"{SVG}text")]
    assert "layer2.1-3  x 3" in labels
    assert "layer1.0" in labels


def test_a_frame_holds_its_block_and_nothing_else():
    summary = inspect(on_meta(ResNet, (1, 4, 1, 1)), (3, 64, 64))
    picture = ElementTree.fromstring(graph(summary))
    frames = [r for r in picture.iter(f"{SVG}rect") if r.get("class") == "frame"]
    assert len(frames) == 5
    for frame in frames:
        x, y, width, height = (float(frame.get(name)) for name in ("x", "y", "width", "height"))
        around = (x, y, x + width, y + height)
        within = [n for n, box in boxes(picture).items() if overlap(around, box)]
        paths = {summary.rows[n].path.split(".")[0] for n in within}
        assert len(paths) == 1
        for n in within:
            box = boxes(picture)[n]
            assert x <= box[0] <= box[2] <= x + width
            assert y <= box[1] <= box[3] <= y + height


def test_blocks_into_which_others_look_are_not_folded():
    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))

        def forward(self, x):
            a = self.convs[0](x)
            b = self.convs[1](a)
            return self.convs[2](b) + a

    rows = inspect(Skips(), (4, 6, 6)).rows
    assert [line.count for line in folded(rows).lines] == [1, 1, 1, 1]
    assert folded(rows).edges == ((-1, 0), (0, 1), (0, 3), (1, 2), (2, 3))


def test_branches_that_all_go_the_same_way_are_folded():
    found = folded(inspect(SideBySide(), (4, 6, 6)).rows)
    assert found.edges == ((-1, 0), (0, 3))
    assert found.frames[0].label == "3 side by side"


def parameters_told(summary):
    backs = backwards(summary.rows)
    return Counter(shape for back in backs if back for _, shape in back.learnt)


@pytest.mark.parametrize("name", ["bottleneck", "inception", "dense", "functional", "signal"])
def test_gradients_have_the_shapes_of_the_parameters(name):
    model, shape = NETWORKS[name]
    assert parameters_told(inspect(model, shape)) == Counter(tuple(p.shape) for p in model.parameters())


LEARNERS = [
    (nn.ConvTranspose2d(4, 6, 3, groups=2), (4, 5, 5)),
    (nn.Linear(5, 3, bias=False), (5,)),
    (nn.PReLU(4), (4, 3)),
    (nn.GroupNorm(2, 4), (4, 3)),
    (nn.LayerNorm(3), (4, 3)),
    (nn.BatchNorm2d(4), (4, 3, 3)),
    (nn.Linear(5, 3), (4, 5)),
]


@pytest.mark.parametrize(("model", "shape"), LEARNERS, ids=str)
def test_each_layer_s_gradients_have_its_parameters_shapes(model, shape):
    assert parameters_told(inspect(model, shape)) == Counter(tuple(p.shape) for p in model.parameters())


def test_gradients_go_no_further_than_something_learns():
    """As autograd has it: tensors of the graph that need a gradient are those behind a parameter that does."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3), nn.ReLU(), nn.Conv2d(2, 1, 3))
    model[0].requires_grad_(False)
    summary = inspect(model, (1, 9, 9))
    picture = ElementTree.fromstring(graph_with_gradients(summary))
    assert edges(picture, "back") == {(OUTPUT, 4), (4, 3), (3, 2)}
    backs = backwards(summary.rows)
    assert [bool(back) for back in backs] == [False, False, True, True, True]
    assert str(backs[2]) == "dL/dw 2x2x3x3, dL/db 2"
    assert str(backs[3]) == "dL/dx"
    assert backs[3].way == "dL/dy where x > 0"
    assert len(lines(ElementTree.fromstring(graph(summary)), "back")) == 0


def test_every_way_back_is_a_way_there(summary):
    picture = ElementTree.fromstring(graph_with_gradients(summary))
    there = edges(picture)
    back = {(target, source) for source, target in edges(picture, "back")}
    assert back == {edge for edge in there if edge[0] != -1 and edge[0] in told(picture)}


def told(picture):
    """Rows that something before them or in them learns, and the output: those with a gradient in their box."""
    groups = [g for g in picture.iter(f"{SVG}g") if g.get("data-row")]
    return {OUTPUT} | {
        int(g.get("data-row")) for g in groups if any(t.get("class") == "gradient" for t in g.iter(f"{SVG}text"))
    }


def test_how_each_kind_comes_to_its_gradient_is_said_once():
    summary = inspect(Inception(), (16, 8, 8))
    said = [t.text for t in ElementTree.fromstring(graph_with_gradients(summary)).iter(f"{SVG}text")]
    assert said.count("dL/dx of ReLU: dL/dy where x > 0") == 1
    assert said.count("dL/dx of Conv2d: dL/dy spread by w, a transposed convolution") == 1
    assert "dL/dx of cat: dL/dy cut into the pieces" in said
    assert max(map(len, said)) < 100


def test_the_edges_of_a_join_and_their_gradients_arrive_apart():
    """Lines are 1.2 pixels thick; solid and dashed ones reach the join in turns."""
    summary = inspect(Inception(), (16, 8, 8))
    picture = ElementTree.fromstring(graph_with_gradients(summary))
    top = boxes(picture)[len(summary.rows) - 1][1]
    ends = [points(drawn)[-1] for drawn in lines(picture, "edge")] + [points(d)[0] for d in lines(picture, "back")]
    arrivals = sorted(x for x, y in ends if abs(y - top) < 0.2)
    assert len(arrivals) == 8
    assert min(b - a for a, b in pairwise(arrivals)) > 6


def test_branches_stand_straight():
    """Nodes that follow on each other alone have their middles under each other, however wide they are."""
    summary = inspect(Inception(), (16, 8, 8))
    for draw in (graph, graph_with_gradients):
        nodes = boxes(ElementTree.fromstring(draw(summary)))
        for n in (1, 2, 3, 4):
            middles = [sum(nodes[m][::2]) / 2 for m, row in enumerate(summary) if row.name.startswith(f"branch{n}")]
            assert max(middles) - min(middles) < 0.2


def test_a_layer_that_runs_again_adds_to_its_gradient():
    backs = backwards(inspect(Shared(), (8,)).rows)
    assert [back.learnt for back in backs[:2]] == [(("w", (8, 8)), ("b", (8,)))] * 2


def test_names_are_escaped():
    model = nn.Sequential()
    model.add_module("<i>&", nn.Linear(2, 2))
    text = graph(inspect(model, (2,), title='"<b>'))
    assert "<i>" not in text
    assert "<b>" not in text
    ElementTree.fromstring(text)


@st.composite
def random_graphs(draw):
    count = draw(st.integers(1, 14))
    found = [(draw(st.integers(max(-1, n - 6), n - 1)), n) for n in range(count)]
    more = draw(st.lists(st.tuples(st.integers(-1, count - 1), st.integers(0, count - 1)), max_size=12))
    widths = {n: draw(st.integers(20, 200)) for n in range(-1, count)}
    return widths, sorted({edge for edge in (*found, *more) if edge[0] < edge[1]})


@settings(max_examples=150, deadline=None)
@given(random_graphs())
def test_any_graph_is_laid_out_without_overlaps(drawn):
    widths, edges_ = drawn
    found = layout(widths, edges_)
    for source, target in edges_:
        assert found.layer[source] < found.layer[target]
    for layer in found.layers:
        spans = []
        for place in layer:
            node, own = place
            half = widths[node] / 2 if found.layer[node] == own else 1
            spans.append((found.x[place] - half, found.x[place] + half))
        for (_, right), (left, _) in pairwise(spans):
            assert right < left + 1e-6


def test_a_long_edge_runs_straight_beside_nodes_of_all_widths():
    widths = {0: 40, 1: 60, 2: 200, 3: 30, 4: 120, 5: 50}
    found = layout(widths, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 5)])
    bends = [found.x[place] for place in found.route((0, 5))[1:-1]]
    assert len(bends) == 4
    assert max(bends) - min(bends) < 0.1
