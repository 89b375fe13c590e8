"""The terms of one number of a pooling, and of its gradient.

    y = sum over the window of factor * x      max: 1 for the winner, 0 else; mean: 1 / N; stochastic: 1 for the drawn
                                               pixel in training, its probability x / S in evaluation
    y = (sum over the window of |x|^p)^(1/p)   Lp
    dx[j] = sum over the windows that hold pixel j of dy times the slope of that window's answer in x[j]

Sources: those of `max_pool.py`, `mean_pool.py`, `lp_pool.py`, `stochastic_pool.py` and `adaptive_pool.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import fsum, inf, log10
from typing import Any

import torch
from torch import Tensor

from striate.base.operations import Operation
from striate.base.shapes import per_axis
from striate.base.windowed import AdaptiveMaxPool, AdaptiveMeanPool, LpPool, MaxPool, MeanPool, StochasticPool
from striate.calculus.arithmetic_conv import Axis, Comb, Entry, looked_at, lookers
from striate.calculus.pencil import number
from striate.calculus.pool_windows import PoolWindows, pool_windows
from striate.calculus.steps import STEPS, Given
from striate.calculus.terms import Arithmetic, At, Term, product, slopes, total, worked

POWERS = 290  # of 10: a power beyond it, or the sum of many near it, is no float; below its inverse it is none either
DX = "dx[j] = sum over the windows that hold pixel j of dy[window] x slope of the window's answer in x[j]"


@dataclass(frozen=True, slots=True)
class Window:
    """The entries of one window, row by row.

    Args:
        places: each entry's index in x; None in the padding.
        values: each entry; `fill` in the padding.
        counted: how many entries a mean divides by.
        drawn: of stochastic pooling in training, the row-major pixel that was drawn.
    """

    places: list[At | None]
    values: list[float]
    counted: int
    drawn: At | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """How a window answers.

    Args:
        equation: the formula.
        fill: what stands in the padding.
        factors: for every entry what it is multiplied by, or None where the answer is no weighted sum.
        slopes: for every entry the derivative of the answer.
    """

    equation: str
    fill: float
    factors: Callable[[Any, Window, Given], list[float]] | None
    slopes: Callable[[Any, Window, Given], list[float]]


def pool_output(o: Operation, x: Tensor, at: At, given: Given) -> Arithmetic:
    """y[b, c, window]."""
    rule = RULES[type(o)]
    window = _window(o, x, at, given, rule.fill)
    if rule.factors is None:
        return _lp(o, window, rule)
    terms = []
    zipped = zip(window.places, window.values, rule.factors(o, window, given), strict=True)
    for place, value, factor in zipped:
        made = 0.0 if value == -inf else value * factor  # padding under max: it never wins
        terms.append(Term(place, value, factor, made, at[1], outside=place is None))
    return total(rule.equation, terms, names=("x", "factor"))


def pool_dx(o: Operation, dy: Tensor, x: Tensor, at: At, given: Given) -> Arithmetic:
    """dL/dx[b, c, j]."""
    (b, c, *j), rule = at, RULES[type(o)]
    terms = []
    for m, _ in lookers(_axes(o, tuple(x.shape[2:])), tuple(j)):
        where = (b, c, *m)
        window = _window(o, x, where, given, rule.fill)
        slope = rule.slopes(o, window, given)[window.places.index(at)]
        terms.append(product(where, dy[where].item(), slope, channel=c))
    return slopes(DX, terms)


def _lp(o: Any, window: Window, rule: Rule) -> Arithmetic:
    p = float(o.norm_type)
    scale = _scale(window.values, p)
    pairs = list(zip(window.places, window.values, strict=True))
    terms = [Term(place, v, None, (abs(v) / scale) ** p, outside=place is None) for place, v in pairs]
    summed = fsum(term.product for term in terms)
    root = summed ** (1 / p)
    steps = [("the sum", summed), (f"its root, ^(1 / {p:g})", root)]
    if scale == 1:
        return worked(rule.equation, terms, steps)
    steps.append((f"times the largest |x|, {number(scale)}, by which all were divided", scale * root))
    return worked(rule.equation, terms, steps)


def _scale(values: list[float], p: float) -> float:
    """The largest |x| if its power leaves the range of floats; else 1, so that 3 and 4 stay 9 + 16."""
    largest = max(map(abs, values))
    return largest if largest and p * abs(log10(largest)) > POWERS else 1.0


def _window(o: Operation, x: Tensor, at: At, given: Given, fill: float) -> Window:
    """The window that answers with y[at]."""
    b, c, *m = at
    sizes = tuple(x.shape[2:])
    axes = _axes(o, sizes)
    entries = [pixel for _, pixel, _ in looked_at(axes, tuple(m))]
    places = [None if pixel is None else (b, c, *pixel) for pixel in entries]
    values = [fill if place is None else x[place].item() for place in places]
    drawn = None
    if isinstance(o, StochasticPool) and given.training is not None:
        number = int(STEPS[StochasticPool].forward(o, x, given).kept["indices"][at])
        drawn = (b, c, *(int(n) for n in torch.unravel_index(torch.tensor(number), sizes)))
    return Window(places, values, _counted(o, sizes, tuple(m), places), drawn)


def _axes(o: Any, sizes: tuple[int, ...]) -> tuple[Axis, ...]:
    if isinstance(o, AdaptiveMeanPool | AdaptiveMaxPool):
        outs = per_axis("output_size", o.output_size, len(sizes), where=o.kind)
        return tuple(
            tuple(tuple(Entry(p, True) for p in range(w * n // m, -(-(w + 1) * n // m))) for w in range(m))
            for n, m in zip(sizes, outs, strict=True)
        )
    place = _place(o, sizes)
    zipped = zip(place.kernel, place.stride, place.dilation, place.padding, place.out, sizes, strict=True)
    return tuple(Comb(k, s, d, before).axis(m, n) for k, s, d, before, m, n in zipped)


def _place(o: Any, sizes: tuple[int, ...]) -> PoolWindows:
    padding, dilation = getattr(o, "padding", 0), getattr(o, "dilation", 1)
    return pool_windows(
        sizes, o.kernel_size, stride=o.stride, padding=padding, dilation=dilation, ceil_mode=o.ceil_mode
    )


def _counted(o: Operation, sizes: tuple[int, ...], window: At, places: list[At | None]) -> int:
    """What a mean divides by: padding counts if asked for, what ceil_mode adds beyond it never."""
    inside = len([place for place in places if place is not None])
    if not isinstance(o, MeanPool) or not o.count_include_pad:
        return inside
    place, count = _place(o, sizes), 1
    for axis, w in enumerate(window):
        start = place.stride[axis] * w - place.padding[axis]
        count *= min(start + place.kernel[axis], sizes[axis] + place.padding[axis]) - start
    return count


def _winner(_: Operation, window: Window, __: Given) -> list[float]:
    """1 for the first of the largest, 0 for the others."""
    at = next(i for i, v in enumerate(window.values) if v == max(window.values))
    return [float(i == at) for i in range(len(window.values))]


def _equal(_: Operation, window: Window, __: Given) -> list[float]:
    return [1 / window.counted] * len(window.values)


def _norm_slopes(o: Any, window: Window, _: Given) -> list[float]:
    p = float(o.norm_type)
    scale = _scale(window.values, p)
    y = scale * fsum((abs(v) / scale) ** p for v in window.values) ** (1 / p)
    signs = [(v > 0) - (v < 0) for v in window.values]
    return [sign * (abs(v) / y) ** (p - 1) if y else 0.0 for sign, v in zip(signs, window.values, strict=True)]


def _chances(_: Operation, window: Window, given: Given) -> list[float]:
    if given.training is not None:
        return [float(place is not None and place == window.drawn) for place in window.places]
    whole = fsum(window.values)
    return [v / whole if whole else 0.0 for v in window.values]


def _chance_slopes(o: Operation, window: Window, given: Given) -> list[float]:
    if given.training is not None:
        return _chances(o, window, given)
    whole = fsum(window.values)
    y = fsum(v * v for v in window.values) / (whole or 1.0)
    return [(2 * v - y) / whole if whole else 0.0 for v in window.values]


MAX, MEAN = "y = the largest of the window, of equals the first", "y = 1 / N sum over the window of x"
RULES: dict[type[Operation], Rule] = {
    MaxPool: Rule(MAX, -inf, _winner, _winner),
    AdaptiveMaxPool: Rule(MAX, -inf, _winner, _winner),
    MeanPool: Rule(MEAN, 0.0, _equal, _equal),
    AdaptiveMeanPool: Rule(MEAN, 0.0, _equal, _equal),
    LpPool: Rule("y = (sum over the window of |x|^p)^(1/p)", 0.0, None, _norm_slopes),
    StochasticPool: Rule(
        "y = sum over the window of chance x, or the drawn x in training", 0.0, _chances, _chance_slopes
    ),
}
