"""Pooling in C, every channel by itself, channels innermost.

    max     y[pixel][c] = the largest x[r][c] of the pixels r within the window
    mean    y[pixel][c] = their sum, divided by the number that torch divides by

That number is a product over the axes; where it is not the same everywhere, a table an axis holds its inverse.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

from striate.base.operations import Shape, written
from striate.base.shapes import PoolPlaces, pool_places, reach
from striate.base.windowed import AdaptivePool, MaxPool, MeanPool
from striate.native.c_function import AXES, KERNEL, Function, Site
from striate.native.c_sums import moved
from striate.native.c_text import at, count, nest, number, times


@dataclass(frozen=True, slots=True)
class Axis:
    """The windows of one axis in C.

    Args:
        head: the loop over the input pixels of a window.
        inside: the condition that such a pixel exists, "" where all do.
    """

    head: str
    inside: str = ""


def max_pool(site: Site) -> list[Function]:
    """The largest number of each window."""
    o = site.operation
    if isinstance(o, AdaptivePool):
        return [_function(site, _adaptive(site), _LARGEST)]
    assert isinstance(o, MaxPool)
    places = pool_places(
        site.input[1:], o.kernel_size, stride=o.stride, padding=o.padding, dilation=o.dilation, ceil_mode=o.ceil_mode
    )
    return [_function(site, _windows(site, places), _LARGEST)]


def mean_pool(site: Site) -> list[Function]:
    """The mean of each window."""
    o, sizes = site.operation, site.input[1:]
    if isinstance(o, AdaptivePool):
        counts = [_adaptive_counts(n, m) for n, m in zip(sizes, site.output[1:], strict=True)]
        return [_mean(site, _adaptive(site), counts)]
    assert isinstance(o, MeanPool)
    places = pool_places(sizes, o.kernel_size, stride=o.stride, padding=o.padding, ceil_mode=o.ceil_mode)
    counts = [_counts(n, places, axis, padded=o.count_include_pad) for axis, n in enumerate(sizes)]
    return [_mean(site, _windows(site, places), counts)]


def _counts(n: int, places: PoolPlaces, axis: int, *, padded: bool) -> np.ndarray:
    """How many pixels of an axis each window counts, of the border too where that is asked for."""
    kernel, stride, pad, out = (values[axis] for values in (places.kernel, places.stride, places.padding, places.out))
    start = np.arange(out) * stride - pad
    end = np.minimum(start + kernel, n + pad)
    return end - start if padded else np.minimum(end, n) - np.maximum(start, 0)


def _adaptive_counts(n: int, m: int) -> np.ndarray:
    o = np.arange(m)
    return -(-(o + 1) * n // m) - o * n // m


def _windows(site: Site, places: PoolPlaces) -> list[Axis]:
    """Windows of one size, cut where they reach over the map."""
    axes = []
    rank = len(places.out)
    for axis, (letter, inner) in enumerate(zip(AXES[-rank:], KERNEL[-rank:], strict=True)):
        kernel, stride, pad, gap, out = (values[axis] for values in places)
        n = site.input[1 + axis]
        begin = times(letter, stride) + (f" - {pad}" if pad else "")
        step = f"++{inner}" if gap == 1 else f"{inner} += {gap}"
        head = f"for (int {inner} = {begin}; {inner} < {times(letter, stride)} + {reach(kernel, gap) - pad}; {step})"
        below = [f"{inner} >= 0"] if pad else []
        above = [f"{inner} < {n}"] if (out - 1) * stride - pad + reach(kernel, gap) > n else []
        axes.append(Axis(head, " && ".join(below + above)))
    return axes


def _adaptive(site: Site) -> list[Axis]:
    """As many windows as asked for, laid to cover the input."""
    axes = []
    rank = len(site.input) - 1
    for n, m, letter, inner in zip(site.input[1:], site.output[1:], AXES[-rank:], KERNEL[-rank:], strict=True):
        begin, end = f"{letter} * {n} / {m}", f"(({letter} + 1) * {n} + {m - 1}) / {m}"
        axes.append(Axis(f"for (int {inner} = {begin}; {inner} < {end}; ++{inner})"))
    return axes


@dataclass(frozen=True, slots=True)
class _Rule:
    """What is done to the numbers of a window, n running over the channels."""

    name: str
    start: str
    step: str
    end: str = ""


_LARGEST = _Rule("the largest", "-FLT_MAX", "out[n] = in[n] > out[n] ? in[n] : out[n];")


def _mean(site: Site, axes: list[Axis], counts: list[np.ndarray]) -> Function:
    rank = len(counts)
    constant = prod(int(own[0]) for own in counts if len(set(own.tolist())) == 1)
    letters = AXES[-rank:]
    varying = {letter: own for letter, own in zip(letters, counts, strict=True) if len(set(own.tolist())) > 1}
    arrays = {f"{site.symbol}_share_{letter}": (1 / own).astype(np.float32) for letter, own in varying.items()}
    shares = [f"{site.symbol}_share_{letter}[{letter}]" for letter in varying]
    factor = " * ".join([number(1 / constant), *shares])
    rule = _Rule("the mean", "0.0f", "out[n] += in[n];", f"out[n] *= {factor};")
    return _function(site, axes, rule, arrays)


def _function(site: Site, axes: list[Axis], rule: _Rule, arrays: dict[str, np.ndarray] | None = None) -> Function:
    C, *sizes = site.input
    out: Shape = site.output[1:]
    letters, inner = AXES[-len(out) :], KERNEL[-len(out) :]
    conditions = " && ".join(axis.inside for axis in axes if axis.inside)
    window = [
        *([f"if (!({conditions}))", "    continue;"] if conditions else []),
        f"const float *const in = {moved('x', at(inner, sizes, C))};",
        *nest([count("n", C)], [rule.step]),
    ]
    end = nest([count("n", C)], [rule.end]) if rule.end else []
    body = [
        f"float *const out = {moved('y', at(letters, out, C))};",
        *nest([count("n", C)], [f"out[n] = {rule.start};"]),
        *nest([axis.head for axis in axes], window),
        *end,
    ]
    pixels = [count(letter, n) for letter, n in zip(letters, out, strict=True)]
    places = "".join(f"[{u}]" for u in inner)
    return Function(
        name=f"{site.symbol}_{site.operation.kind}",
        told=(
            f"{site.name}: pooling, {written(site.input)} -> {written(site.output)}",
            f"y[pixel][n] = {rule.name} of x{places}[n] over the window",
        ),
        body=tuple(nest(pixels, body)),
        size=prod(site.output),
        arrays=arrays or {},
    )
