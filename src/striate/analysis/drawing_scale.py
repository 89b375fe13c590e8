"""Pixels on the page for pixels of a map, for channels, and for numbers of a vector."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log2

from striate.analysis.svg import Length
from striate.base.operations import Shape

TALLEST, WIDEST, LONGEST = 132, 64, 120  # pixels of the largest side, of the most channels, of the longest vector
SMALLEST, BAR, SLANT = 3, 9, 0.3
RANGE = 40  # sizes further apart than that are drawn by their logarithms

Scale = Callable[[int], Length]


@dataclass(frozen=True, slots=True)
class Scales:
    """How large what is drawn is on the page.

    Args:
        side: of a map.
        channels: of a map.
        features: numbers of a vector.
        said: the same in words.
    """

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


def scales_of(shapes: Sequence[Shape]) -> Scales:
    """Scales in which all these shapes have room."""
    maps = [shape for shape in shapes if len(shape) > 1]
    side, how = _scale([n for shape in maps for n in shape[1:]], TALLEST)
    channels, wide = _scale([shape[0] for shape in maps], WIDEST)
    features, long = _scale([shape[0] for shape in shapes if len(shape) == 1], LONGEST)
    said = [f"height and depth: sides of a map, {how}", f"width: channels, {wide}"] if maps else []
    if any(len(shape) == 1 for shape in shapes):
        said.append(f"bars: numbers of a vector, {long}")
    if any(len(shape) > 3 for shape in shapes):
        said.append("of three axes the first is written, not drawn")
    return Scales(side, channels, features, "; ".join(said))


def _scale(sizes: Sequence[int], most: Length) -> tuple[Scale, str]:
    """Linear where the sizes are near enough to each other; 1 has no side to speak of."""
    largest = max(sizes, default=1)
    least = min((n for n in sizes if n > 1), default=1)
    if largest <= RANGE * least:
        return lambda n: max(SMALLEST, most * n / largest), "to scale"
    return lambda n: SMALLEST + (most - SMALLEST) * log2(n) / log2(largest), "logarithmic"
