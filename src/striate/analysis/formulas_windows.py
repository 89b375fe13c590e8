"""The equations of what slides or moves over places: convolution, pooling, padding, upsampling, shuffles."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod

from striate.analysis.call import Record
from striate.analysis.formula import (
    OFFSETS,
    PLACES,
    SOURCES,
    Formula,
    Reckoning,
    decimal,
    index,
    offsets,
    over,
    per_axis,
    runs,
    sides,
    times,
    without_one,
)

Pair = tuple[int, int]
Rule = Callable[[Record, int], Formula | None]  # an operation, and how many axes of places its row has


def _convolution(record: Record, _: int) -> Formula | None:
    a = record.arguments
    axes = len(a["weight"]) - 2
    if len(a["input"]) != axes + 2 or not 1 <= axes <= 3:
        return None
    return (_transposed if a["transposed"] else _forward)(record, axes)


def _forward(record: Record, axes: int) -> Formula:
    a = record.arguments
    out, inside, *kernel = a["weight"]
    groups, letters = a["groups"], PLACES[axes]
    stride, dilation = (per_axis(a[name], axes) for name in ("stride", "dilation"))
    pairs = _padded(a["padding"], axes)
    entries = offsets(kernel)
    before = [pair[0] for pair in pairs]
    seen = [index(*axis) for axis in zip(letters, stride, entries, dilation, before, strict=True)]
    weight = ", ".join(["o", "c" if inside > 1 or groups == 1 else "0", *entries])
    channel = _channel(inside, out // groups, groups)
    ranges = [f"c < {inside}"] * (inside > 1 or groups == 1) + runs(OFFSETS[axes], kernel)
    product = f"w[{weight}] x[{', '.join([channel, *seen])}]"
    zipped = zip(a["input"][2:], map(_both_sides, pairs), dilation, kernel, stride, strict=True)
    rights = [f"floor(({n} + {p} - {d}·({k} - 1) - 1) / {s}) + 1" for n, p, d, k, s in zipped]
    windows = without_one(record.output[0], *record.output[2:])
    return Formula(
        equation=f"y[o, {', '.join(letters)}] = {'b[o] + ' if a['bias'] else ''}{over(ranges, product)}",
        note="x is 0 in the padding" if any(map(any, pairs)) else "",
        sizes=sides(record.output[2:], rights),
        parameters=_learnt(record, out, [inside, *kernel], out),
        macs=Reckoning("MACs", record.macs, f"{times([*windows, out])}·({times([inside, *kernel])})"),
    )


def _padded(padding: Sequence[int | Pair], axes: int) -> list[Pair]:
    """Entries of padding before and behind, axis by axis; torch's own are alike."""
    pairs = [(one, one) if isinstance(one, int) else one for one in padding]
    return pairs * axes if len(pairs) == 1 else pairs[len(pairs) - axes :]


def _both_sides(pair: Pair) -> str:
    return f"2·{pair[0]}" if pair[0] == pair[1] else f"{pair[0]} + {pair[1]}"


def padded_convolution(pad: Record, record: Record) -> Formula | None:
    """A convolution of what has been padded with zeros, as one of the input itself."""
    a, axes = record.arguments, len(record.arguments["weight"]) - 2
    pairs, own = pad_pairs(pad, axes), _padded(a["padding"], axes)
    if pairs is None or a["transposed"] or pad.arguments["value"] != 0 or pad.output != a["input"]:
        return None
    together = tuple((b + p, e + q) for (b, e), (p, q) in zip(pairs, own, strict=True))
    whole = {**a, "input": pad.arguments["self"], "padding": together}
    return _convolution(replace(record, arguments=whole), axes) if min(map(min, together)) >= 0 else None


def pad_pairs(record: Record, axes: int) -> list[Pair] | None:
    """What a padding puts before and behind along the last axes; None if it pads others."""
    a = record.arguments
    pads = a["pad"] if "pad" in a else a["padding"]  # torch's begin with the last axis
    if len(pads) > 2 * axes:
        return None
    return [(0, 0)] * (axes - len(pads) // 2) + [(pads[k], pads[k + 1]) for k in range(len(pads) - 2, -2, -2)]


def _channel(inside: int, outside: int, groups: int) -> str:
    """Which input channel output channel o takes, as c runs through the `inside` ones of its group."""
    if groups == 1:
        return "c"
    group = f"floor(o / {outside})" if outside > 1 else "o"
    if inside == 1:
        return group
    return f"{inside}·{group} + c" if outside > 1 else f"{inside}o + c"


def _transposed(record: Record, axes: int) -> Formula:
    a = record.arguments
    inputs, outside, *kernel = a["weight"]
    groups = a["groups"]
    names = ("stride", "padding", "dilation", "output_padding")
    stride, padding, dilation, extra = (per_axis(a[name], axes) for name in names)
    entries = offsets(kernel)
    reached = [index(*axis) for axis in zip(SOURCES[axes], stride, entries, dilation, padding, strict=True)]
    where = ", ".join(f"{at} = {i}" for at, i in zip(reached, PLACES[axes], strict=True))
    channel = _channel(inputs // groups, outside, groups)
    output = "o" if groups == 1 else "0" if outside == 1 else f"o mod {outside}"
    weight = ", ".join([channel, output, *entries])
    ranges = [f"c < {inputs // groups}"] * (groups < inputs or groups == 1) + runs(OFFSETS[axes], kernel)
    product = f"w[{weight}] x[{', '.join([channel, *SOURCES[axes]])}]"
    bias = "b[o] + " if a["bias"] else ""
    zipped = zip(a["input"][2:], stride, padding, dilation, kernel, extra, strict=True)
    rights = [f"({n} - 1)·{s} - 2·{p} + {d}·({k} - 1) + {e} + 1" for n, s, p, d, k, e in zipped]
    places = without_one(a["input"][0], *a["input"][2:])
    return Formula(
        equation=f"y[o, {', '.join(PLACES[axes])}] = {bias}{over(ranges, product)} where {where}",
        sizes=sides(record.output[2:], rights),
        parameters=_learnt(record, inputs, [outside, *kernel], record.output[1]),
        macs=Reckoning("MACs", record.macs, f"{times([*places, inputs])}·({times([outside, *kernel])})"),
    )


def _learnt(record: Record, kernels: int, each: Sequence[int], biases: int) -> Reckoning | None:
    """The parameters of a convolution; None where its kernels are no weights."""
    if not record.connections:
        return None
    bias = f" + {biases}" if record.arguments["bias"] else ""
    value = kernels * prod(each) + (biases if bias else 0)
    return Reckoning("parameters", value, f"{kernels}·({times(each)}){bias}")


def _pool(record: Record, axes: int) -> Formula | None:
    a = record.arguments
    shape, out = a["self"], record.output
    axes = min(axes, len(out) - 2)
    if axes < 1 or len(shape) != len(out):
        return None
    kernel = per_axis(a["kernel_size"], axes)
    stride = per_axis(a["stride"], axes) if a["stride"] else kernel
    padding, dilation = per_axis(a["padding"], axes), per_axis(a.get("dilation", 1), axes)
    maximum = record.name.startswith(("max", "mkldnn"))
    seen = ", ".join(
        index(*axis) for axis in zip(PLACES[axes], stride, offsets(kernel), dilation, padding, strict=True)
    )
    divisor = None if maximum else a["divisor_override"]
    how = "max" if maximum else "sum" if divisor else "mean"
    value = over(runs(OFFSETS[axes], kernel), f"x[c, {seen}]", how=how) + (f" / {divisor}" if divisor else "")
    zipped = zip(shape[len(shape) - axes :], kernel, stride, padding, dilation, out[len(out) - axes :], strict=True)
    return Formula(
        equation=f"y[c, {', '.join(PLACES[axes])}] = {value}",
        note=_beside(record, maximum, padding),
        sizes=sides(out[len(out) - axes :], [_pooled(*axis, ceil_mode=a["ceil_mode"]) for axis in zipped]),
    )


def _pooled(n: int, kernel: int, stride: int, padding: int, dilation: int, out: int, *, ceil_mode: bool) -> str:
    room = f"({n} + 2·{padding} - {dilation}·({kernel} - 1) - 1) / {stride}"
    if not ceil_mode:
        return f"floor({room}) + 1"
    count = -(-(n + 2 * padding - dilation * (kernel - 1) - 1) // stride) + 1
    if count == out:
        return f"ceil({room}) + 1"
    return f"min(ceil({room}) + 1, ceil(({n} + {padding}) / {stride}))"  # no window begins in the padding behind


def _beside(record: Record, maximum: bool, padding: Sequence[int]) -> str:
    """What a pooling makes of the padding, and of windows over the edge."""
    if maximum:
        return "padding never wins" if any(padding) else ""
    counted = record.arguments["count_include_pad"]
    said = [f"padding counts {'as 0' if counted else 'for nothing'}"] if any(padding) else []
    if record.arguments["ceil_mode"]:
        said.append("what lies beyond is left out")
    return "; ".join(said)


def _adaptive(record: Record, axes: int) -> Formula | None:
    shape, out = record.arguments["self"], record.output
    axes = min(axes, len(out) - 2)
    if axes < 1:
        return None
    pairs = list(zip(shape[len(shape) - axes :], out[len(out) - axes :], strict=True))
    ranges, seen = [], []
    for (n, m), i, u, source in zip(pairs, PLACES[axes], OFFSETS[axes], SOURCES[axes], strict=True):
        whole = n % m == 0
        ranges.append(f"{u} < {n // m}" if whole else f"floor({n}·{i} / {m}) <= {source} < ceil({n}·({i} + 1) / {m})")
        seen.append(index(i, n // m, u, 1, 0) if whole else source)
    how = "max" if "max" in record.name else "mean"
    places = ", ".join(PLACES[axes])
    return Formula(f"y[c, {places}] = {how} over {', '.join(ranges)} of x[c, {', '.join(seen)}]")


def _pad(record: Record, axes: int) -> Formula | None:
    a = record.arguments
    sizes, pairs = a["self"][2:], pad_pairs(record, axes)
    if len(sizes) != axes or pairs is None:
        return None
    seen = [index(i, 1, "0", 1, before) for i, (before, _) in zip(PLACES[axes], pairs, strict=True)]
    edge = {"reflection": "mirrored at the edge", "replication": "its edge beyond"}.get(record.name.split("_")[0])
    return Formula(
        equation=f"y[c, {', '.join(PLACES[axes])}] = x[c, {', '.join(seen)}]",
        note=f"x is {edge or decimal(a['value']) + ' outside'}",
        sizes=sides(record.output[2:], [f"{n} + {b} + {e}" for n, (b, e) in zip(sizes, pairs, strict=True)]),
    )


def _nearest(record: Record, _: int) -> Formula | None:
    shape, out = record.arguments["self"][2:], record.output[2:]
    if any(m % n for n, m in zip(shape, out, strict=True)):
        return None
    scales = [m // n for n, m in zip(shape, out, strict=True)]
    places = PLACES[len(out)]
    seen = [f"floor({i} / {scale})" if scale > 1 else i for i, scale in zip(places, scales, strict=True)]
    return Formula(
        equation=f"y[c, {', '.join(places)}] = x[c, {', '.join(seen)}]",
        sizes=sides(out, [f"{n}·{scale}" for n, scale in zip(shape, scales, strict=True)]),
    )


def _linear(record: Record, _: int) -> Formula:
    """Between the two nearest entries along each axis, each weighted by how near it is."""
    a, out = record.arguments, record.output[2:]
    axes = len(out)
    factors = [factor for name, factor in a.items() if name.startswith("scales")]
    ranges, weights, seen, rights = [], [], [], []
    for n, m, factor, i, source in zip(a["self"][2:], out, factors, PLACES[axes], SOURCES[axes], strict=True):
        rights.append(f"floor({n}·{_exactly(factor)})" if factor else str(m))
        seen.append(i if n == m else source)
        if n != m:
            ranges.append(f"{source} < {n}")
            weights.append(f"max(0, 1 - abs({_between(i, n, m, factor, aligned=a['align_corners'])} - {source}))")
    value = over(ranges, "·".join([*weights, f"x[c, {', '.join(seen)}]"]))
    sizes = sides(out, rights) if all(factors) else ()
    return Formula(f"y[c, {', '.join(PLACES[axes])}] = {value}", sizes=sizes)


def _between(i: str, n: int, m: int, factor: float | None, *, aligned: bool) -> str:
    """Where place i of m lies among n entries, both ends of either at the same place or the middles of their ends."""
    if aligned:
        return f"{i}·{n - 1} / {max(m - 1, 1)}"
    at = f"({i} + 0.5) / {_exactly(factor)}" if factor else f"({i} + 0.5)·{n} / {m}"
    return f"min(max({at} - 0.5, 0), {n - 1})"


def _exactly(number: float) -> str:
    """Short where nothing is lost by it: sizes are reckoned with it."""
    return decimal(number) if float(decimal(number)) == number else repr(number)


def _channel_shuffle(record: Record, _: int) -> Formula:
    groups = record.arguments["groups"]
    each = record.output[1] // groups
    return Formula(f"y[{groups}c + g] = x[{each}g + c] for c < {each}, g < {groups}")


def _pixel_shuffle(record: Record, _: int) -> Formula:
    r = record.arguments["upscale_factor"]
    H, W = record.arguments["self"][-2:]
    return Formula(
        equation=f"y[c, {r}i + u, {r}j + v] = x[{r * r}c + {r}u + v, i, j] for u < {r}, v < {r}",
        sizes=sides(record.output[-2:], [f"{H}·{r}", f"{W}·{r}"]),
    )


_POOLS = [f"{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)]
_INDICES = ["max_pool2d_with_indices", "max_pool3d_with_indices", "mkldnn_max_pool2d", "mkldnn_max_pool3d"]
_ADAPTIVE = [f"{mark}adaptive_{kind}_pool{n}d" for mark in ("", "_") for kind in ("avg", "max") for n in (1, 2, 3)]
_PADS = [f"{kind}_pad{n}d" for kind in ("reflection", "replication") for n in (1, 2, 3)]
WINDOWS: Mapping[str, Rule] = {
    "convolution": _convolution,
    "channel_shuffle": _channel_shuffle,
    "pixel_shuffle": _pixel_shuffle,
    **dict.fromkeys([*_POOLS, *_INDICES], _pool),
    **dict.fromkeys(_ADAPTIVE, _adaptive),
    **dict.fromkeys(["constant_pad_nd", *_PADS], _pad),
    **dict.fromkeys([f"upsample_nearest{n}d" for n in (1, 2, 3)], _nearest),
    **dict.fromkeys(["upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d"], _linear),
}
