"""The border of a convolution in C: the map copied into a larger one.

zeros                           everything 0, then row by row
reflect, replicate, circular    pixel by pixel, each from where a table per axis says
"""

from math import prod

import numpy as np

from striate.base.operations import written
from striate.base.padding import Pair, is_constant
from striate.calculus.padding import sources
from striate.native.c_function import AXES, Function, Site
from striate.native.c_sums import added, moved
from striate.native.c_text import at, count, nest


def pad(site: Site, pairs: tuple[Pair, ...], border: str) -> Function:
    """The function that surrounds the input of an operation by (before, after) pixels on every axis."""
    C, *sizes = site.input
    padded = tuple(n + sum(pair) for n, pair in zip(sizes, pairs, strict=True))
    letters = AXES[-len(sizes) :]
    told = f"border of {', '.join(f'{a} + {b}' for a, b in pairs)} pixels, {border}"
    arrays: dict[str, np.ndarray] = {}
    if is_constant(border):
        starts = [added(letter, str(before)) for letter, (before, _) in zip(letters[:-1], pairs, strict=False)]
        target = at([*starts, str(pairs[-1][0])], padded, C)
        source = at([*letters[:-1], "0"], sizes, C)
        row = f"memcpy({moved('y', target)}, {moved('x', source)}, {sizes[-1] * C} * sizeof *y);"
        rows = [count(letter, n) for letter, n in zip(letters[:-1], sizes, strict=False)]
        body = [f"memset(y, 0, {prod(padded) * C} * sizeof *y);", *nest(rows, [row])]
    else:
        tables = [f"{site.symbol}_pad_{letter}" for letter in letters]
        arrays = {
            name: sources(n, pair, border).numpy().astype(np.int32)
            for name, n, pair in zip(tables, sizes, pairs, strict=True)
        }
        found = [f"{name}[{letter}]" for name, letter in zip(tables, letters, strict=True)]
        copy = f"memcpy({moved('y', at(letters, padded, C))}, {moved('x', at(found, sizes, C))}, {C} * sizeof *y);"
        body = nest([count(letter, n) for letter, n in zip(letters, padded, strict=True)], [copy])
    shapes = f"{written(site.input)} -> {written((C, *padded))}"
    return Function(
        name=f"{site.symbol}_pad",
        told=(f"{site.name}: {shapes}, {told}",),
        body=tuple(body),
        size=prod(padded) * C,
        arrays=arrays,
    )
