"""The receptive field as a picture: boxes over a grid of the input, its padding around it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from striate.analysis import svg
from striate.analysis.summary import Row, Sight
from striate.analysis.svg import Length
from striate.base.operations import Shape, written

LARGEST = 240  # pixels of the picture's longer side
LEAST = 5  # pixels between two lines of the grid
STRIP = 22  # how high a signal of one axis is drawn
STYLE = (
    ".striate-field{color:#1d1d1f}.striate-field .paper{fill:#fff;stroke:currentColor}"
    ".striate-field .grid{stroke:currentColor;stroke-opacity:.18}"
    ".striate-field .pad{fill:currentColor;fill-opacity:.08}"
    ".striate-field .first{fill:#0072b2;fill-opacity:.25;stroke:#0072b2;stroke-width:1.5}"
    ".striate-field .next{fill:none;stroke:#d55e00;stroke-width:1.2;stroke-dasharray:4 2}"
    ".striate-field .last{fill:none;stroke:#009e73;stroke-width:1.2;stroke-dasharray:1 2}"
    "@media (prefers-color-scheme:dark){.striate-field{color:#e8e8ea}.striate-field .paper{fill:#1a1a1d}}"
)


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis of the input.

    Args:
        size: pixels of the input.
        sight: what an output sees along it.
        unit: pixels on the page for one of the input.
    """

    size: int
    sight: Sight
    unit: Length

    @property
    def whole(self) -> tuple[int, int]:
        """The first pixel of the picture, in the padding or the input, and how many there are."""
        low = min(0, self.sight.start, self.last)
        return low, max(self.size, self.sight.start + self.sight.receptive_field, self.size + self.sight.after) - low

    @property
    def last(self) -> int:
        """The first pixel that the last output sees."""
        return self.size + self.sight.after - self.sight.receptive_field

    @property
    def step(self) -> Length:
        """Pixels of the input from the first output to its neighbour, < 0 where the map is turned round; 0 for none."""
        way = self.last - self.sight.start
        return 0 if way == 0 else self.sight.jump if way > 0 else -self.sight.jump

    def span(self, first: Length, count: Length) -> tuple[Length, Length]:
        """Where pixels of the input lie on the page, and how far they reach."""
        return (first - self.whole[0]) * self.unit, count * self.unit


class _Strip(_Axis):
    """In place of the axis that a signal does not have."""

    def span(self, first: Length, count: Length) -> tuple[Length, Length]:  # noqa: ARG002
        """All of the strip."""
        return 0, STRIP


def field_picture(row: Row, input_shape: Shape) -> str:
    """The windows of the first output, its neighbour and the last one over the input; empty for a row that sees none.

    Of three axes the last two are drawn.
    """
    if not row.sights:
        return ""
    sizes = input_shape[len(input_shape) - len(row.sights) :]
    pairs = list(zip(sizes, row.sights, strict=True))[-2:]
    unit = LARGEST / max(_Axis(*pair, unit=1).whole[1] for pair in pairs)
    axes = [_Axis(*pair, unit=unit) for pair in pairs]
    if len(axes) == 1:
        axes.insert(0, _Strip(1, Sight(1, 0, 0, 0, "exact"), unit))
    down, across = axes
    width, height = across.span(*across.whole)[1], down.span(*down.whole)[1]
    label = f"what an output of {row.name} sees of an input of {written(sizes)} pixels"
    drawn = svg.group([*_paper(down, across), *_boxes(down, across)], attributes='transform="translate(1 1)"')
    return svg.picture((width + 2, height + 2), label, STYLE, [drawn], name="field")


def _paper(down: _Axis, across: _Axis) -> Iterator[str]:
    """The input on its padding, with a grid: every pixel, or every second, fourth, ..."""
    yield _box([down, across], [axis.whole for axis in (down, across)], "pad")
    yield _box([down, across], [(0, axis.size) for axis in (down, across)], "paper")
    step = 1
    while step * across.unit < LEAST:
        step *= 2
    (x, width), (y, height) = across.span(0, across.size), down.span(0, down.size)
    columns = [svg.number(across.span(n, 1)[0]) for n in range(step, across.size, step)]
    rows = [svg.number(down.span(n, 1)[0]) for n in range(step, down.size, step)]
    lines = [f"M{at} {svg.number(y)}v{svg.number(height)}" for at in columns]
    lines += [f"M{svg.number(x)} {at}h{svg.number(width)}" for at in rows]
    if lines:
        yield svg.path("".join(lines), 'class="grid"')


def _boxes(down: _Axis, across: _Axis) -> Iterator[str]:
    """The last output's window, the neighbour's, and on top the first's."""
    axes = (down, across)
    first = [axis.sight.start for axis in axes]
    beside = [axis.sight.start + axis.step for axis in axes]
    last = [axis.last if axis.step else axis.sight.start for axis in axes]
    for kind, places in (("last", last), ("next", beside), ("first", first)):
        if kind == "first" or any(axis.step for axis in axes):
            windows = [(at, axis.sight.receptive_field) for at, axis in zip(places, axes, strict=True)]
            yield _box(axes, windows, kind)


def _box(axes: Sequence[_Axis], spans: Sequence[tuple[Length, Length]], kind: str) -> str:
    """A box over pixels of the input, given as (first, count) down and across."""
    (y, height), (x, width) = (axis.span(*one) for axis, one in zip(axes, spans, strict=True))
    return svg.rectangle(x, y, width, height, f'class="{kind}"')
