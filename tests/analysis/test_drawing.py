import re
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from tests.analysis.networks import Functional, Inception, ResNet, SideBySide, on_meta, signal, volume
from torch import nn

from striate.analysis.drawing import drawing
from striate.analysis.families import COLOURS, caption, family
from striate.analysis.inspect import inspect
from striate.models.catalogue import build

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def lenet5():
    return inspect(build("lenet5"), (1, 32, 32), title="lenet5")


def fronts(picture):
    """Width and height of the front of every block, the input's first, coats left out."""
    drawn = [g.find(f"{SVG}rect") for g in picture.iter(f"{SVG}g")]
    sizes = [(float(r.get("width")), float(r.get("height"))) for r in drawn]
    return [size for number, size in enumerate(sizes) if number == 0 or size[0] != 4]


def texts(picture):
    return ["".join(element.itertext()) for element in picture.iter(f"{SVG}text")]


def test_lenet5_is_drawn_to_scale(lenet5):
    text = drawing(lenet5)
    maps, vectors = fronts(ElementTree.fromstring(text))[:5], fronts(ElementTree.fromstring(text))[5:]
    unit = maps[0][1] / 32
    assert [height / unit for _, height in maps] == pytest.approx([32, 28, 14, 10, 5], rel=0.01)
    unit = maps[-1][0] / 16
    assert [width / unit for width, _ in maps[1:]] == pytest.approx([6, 6, 16, 16], rel=0.01)
    unit = vectors[0][1] / 400
    assert [height / unit for _, height in vectors] == pytest.approx([400, 120, 84, 10], rel=0.01)
    assert "to scale; width: channels, to scale" in text


def test_sizes_far_apart_are_drawn_by_logarithms_and_that_is_said():
    text = drawing(inspect(nn.Sequential(nn.Conv2d(3, 512, 1), nn.Conv2d(512, 8, 1)), (3, 16, 16)))
    (first, _), (wide, _), (narrow, _) = fronts(ElementTree.fromstring(text))
    assert first < narrow < wide < 10 * narrow
    assert "width: channels, logarithmic" in text


def test_every_row_has_its_place_and_its_colour(lenet5):
    picture = ElementTree.fromstring(drawing(lenet5))
    groups = [g for g in picture.iter(f"{SVG}g") if g.get("data-row")]
    assert [int(g.get("data-row")) for g in groups] == list(range(len(lenet5.rows)))
    for g, row in zip(groups, lenet5, strict=True):
        assert g.find(f"{SVG}rect").get("fill") == COLOURS[family(row)]
        assert g.find(f"{SVG}title").text.startswith(row.name)


def test_shapes_kinds_and_modules_stand_below(lenet5):
    said = texts(ElementTree.fromstring(drawing(lenet5)))
    for text in ("lenet5, input 1x32x32", "6x28x28", "Conv2d 5x5", "MaxPool2d 2x2 / 2", "features", "classifier"):
        assert text in said


def spans(picture):
    """Places of all texts below the blocks, line by line: (y, left, right)."""
    for element in picture.iter(f"{SVG}text"):
        size = 11 if element.get("class") == "shape" else 10
        wide = size * 0.5 * len(element.text)
        middle = float(element.get("x")) + (wide / 2 if element.get("text-anchor") == "start" else 0)
        yield element.get("y"), middle - wide / 2, middle + wide / 2


def test_nothing_is_written_over_something_else():
    picture = ElementTree.fromstring(drawing(inspect(on_meta(ResNet, (1, 3, 1, 1)), (3, 64, 64))))
    placed = sorted(spans(picture))
    for (y, _, right), (below, left, _) in pairwise(placed):
        assert y != below or right <= left
    width = float(picture.get("width"))
    assert all(left >= 0 and right <= width for _, left, right in placed)


def ways(picture):
    return [one.get("d") for one in picture.iter(f"{SVG}path") if "way" in one.get("class")]


def test_branches_stand_below_each_other_between_a_fork_and_a_join():
    summary = inspect(Inception(), (16, 8, 8))
    picture = ElementTree.fromstring(drawing(summary))
    feet = {}
    for g in picture.iter(f"{SVG}g"):
        front = g.find(f"{SVG}rect")
        name = summary.rows[int(g.get("data-row"))].name if g.get("data-row") else "input"
        feet[name] = (float(front.get("x")), float(front.get("y")) + float(front.get("height")))
    grounds = [feet[f"branch{n}.0"][1] for n in (1, 2, 3, 4)]
    assert grounds == sorted(set(grounds))
    for n in (2, 3, 4):
        last = max(name for name in feet if name.startswith(f"branch{n}"))
        assert feet[last][1] == feet[f"branch{n}.0"][1]
        assert feet["input"][0] < feet[f"branch{n}.0"][0] < feet[last][0] < feet["cat"][0]
    assert feet["input"][1] == feet["cat"][1] == pytest.approx(sum(grounds[::3]) / 2, abs=0.1)
    assert sum("Q" in way for way in ways(picture)) == 2 * 4  # each branch is led to and from


def test_a_shortcut_is_an_arc_over_its_block():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))

        def forward(self, x):
            return x + self.b(self.a(x))

    arcs = [way for way in ways(ElementTree.fromstring(drawing(inspect(Residual(), (4, 8, 8))))) if "q" in way]
    assert len(arcs) == 1


def test_a_module_that_goes_on_in_the_next_line_is_open_there():
    layers = [nn.Conv2d(8 + n, 9 + n, 1) for n in range(24)]
    said = texts(ElementTree.fromstring(drawing(inspect(nn.Sequential(nn.Sequential(*layers)), (8, 8, 8)))))
    marks = [text for text in said if text.strip("… ") == "0"]
    assert marks == ["0 …", "… 0 …", "… 0"]


def test_repetitions_say_whether_they_follow_or_stand_side_by_side():
    assert "3 side by side" in texts(ElementTree.fromstring(drawing(inspect(SideBySide(), (4, 6, 6)))))
    chain = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3)))
    assert "x 3" in texts(ElementTree.fromstring(drawing(inspect(chain, (4, 6, 6)))))


def test_three_hundred_rows_are_few_blocks():
    one = inspect(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()), (4, 8, 8))
    places = [(number, str(number)) for number in range(300)]
    rows = [replace(one.rows[n % 2], name=name, path=name, sources=(n - 1,)) for n, name in places]
    picture = ElementTree.fromstring(drawing(replace(one, rows=tuple(rows))))
    assert len(fronts(picture)) == 2
    assert "x 150" in texts(picture)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (signal(), (2, 256)),
        (volume(), (1, 8, 16, 16)),
        (Functional(), (3, 32, 32)),
        (Inception(), (16, 8, 8)),
        (nn.Linear(3, 2), (3,)),
        (nn.Identity(), (3, 4, 4)),
    ],
    ids=["signal", "volume", "functional", "inception", "linear", "nothing"],
)
def test_other_networks_are_drawn_too(model, shape):
    summary = inspect(model, shape)
    picture = ElementTree.fromstring(drawing(summary))
    assert len(fronts(picture)) >= min(len(summary.rows), 2)


def test_a_module_may_have_any_name():
    model = nn.Sequential()
    model.add_module('<script>&"', nn.Sequential(nn.Conv2d(1, 1, 3)))
    text = drawing(inspect(model, (1, 4, 4), title="<b>"))
    assert "<script>" not in text
    assert '<script>&"' in texts(ElementTree.fromstring(text))


def test_a_picture_loads_nothing(lenet5):
    text = drawing(lenet5)
    assert re.findall(r"(?:https?|file)://[^\s\"']+", text) == ["http://www.w3.org/2000/svg"]  # a name, not an address


FAMILIES = [
    (nn.Conv2d(2, 2, 3), "convolution", "Conv2d 3x3"),
    (nn.Conv1d(2, 2, 3, stride=2), "convolution", "Conv1d 3 / 2"),
    (nn.MaxPool1d(2), "pooling", "MaxPool1d 2 / 2"),
    (nn.AdaptiveAvgPool2d(1), "pooling", "AdaptiveAvgPool2d"),
    (nn.AvgPool2d((3, 1), (2, 1)), "pooling", "AvgPool2d 3x1 / 2x1"),
    (nn.BatchNorm2d(2), "normalisation", "BatchNorm2d"),
    (nn.LocalResponseNorm(2), "normalisation", "LocalResponseNorm"),
    (nn.LayerNorm(6), "normalisation", "LayerNorm"),
    (nn.RMSNorm(6), "normalisation", "RMSNorm"),
    (nn.Linear(6, 2), "matrix product", "Linear"),
    (nn.GELU(), "activation", "GELU"),
    (nn.Softmax(1), "activation", "Softmax"),
    (nn.Flatten(), "other", "Flatten"),
    (nn.Dropout(), "other", "Dropout"),
]


@pytest.mark.parametrize(("model", "kind", "words"), FAMILIES, ids=str)
def test_families_and_captions(model, kind, words):
    (row,) = inspect(model, (2, 6) if "1d" in words else (2, 6, 6))
    assert (family(row), caption(row)) == (kind, words)


def test_sums_and_concatenations_are_joins():
    kinds = {row.kind: family(row) for row in inspect(on_meta(ResNet, (1, 1, 1, 1)), (3, 32, 32))}
    assert kinds["add"] == "join"
    assert family(inspect(Inception(), (16, 8, 8)).rows[-1]) == "join"
