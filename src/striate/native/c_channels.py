"""What mixes or moves channels in C: normalisation across them, softmax, maxout, shuffle, flatten, joins."""

from collections.abc import Sequence
from math import prod

from striate.base.network import Branches
from striate.base.operations import ChannelShuffle, LocalResponseNorm, Maxout, Shape, written
from striate.native.c_function import AXES, Function, Site
from striate.native.c_text import at, count, nest, number


def _pixels(site: Site) -> int:
    return prod(site.input[1:])


def _function(site: Site, told: Sequence[str], body: Sequence[str], *, inputs: int = 1) -> Function:
    """The body within the loop over pixels; p is the pixel."""
    pixels = _pixels(site)
    heads = [count("p", pixels)] if pixels > 1 else []
    start = [] if pixels > 1 else ["const int p = 0;"]
    shapes = f"{written(site.input)} -> {written(site.output)}"
    return Function(
        name=f"{site.symbol}_{site.operation.kind}",
        told=(f"{site.name}: {told[0]}, {shapes}", *told[1:]),
        body=(*start, *nest(heads, body)),
        size=prod(site.output),
        inputs=inputs,
    )


def local_response_norm(site: Site) -> list[Function]:
    """Each number divided by a power of its neighbours' energy across channels."""
    o, C = site.operation, site.input[0]
    assert isinstance(o, LocalResponseNorm)
    before, after = o.size // 2, (o.size - 1) // 2
    body = [
        f"const float *const in = x + p * {C};",
        *nest(
            [count("n", C)],
            [
                f"const int first = n < {before} ? 0 : n - {before}, last = n + {after} < {C} ? n + {after} : {C - 1};",
                "float energy = 0.0f;",
                *nest(["for (int c = first; c <= last; ++c)"], ["energy += in[c] * in[c];"]),
                f"const float d = {number(o.k)} + {number(o.alpha / o.size)} * energy;",
                f"y[p * {C} + n] = in[n] * powf(d, {number(-o.beta)});",
            ],
        ),
    ]
    formula = f"y[n] = x[n] / ({o.k} + {o.alpha} / {o.size} sum over c of x[c] x[c]) to the power {o.beta}"
    return [_function(site, ("local response normalisation", f"{formula}, c from n - {before} to n + {after}"), body)]


def softmax(site: Site) -> list[Function]:
    """Probabilities over the channels."""
    C = site.input[0]
    body = softmax_lines(f"x + p * {C}", f"y + p * {C}", C, 1.0)
    return [_function(site, ("softmax", "y[n] = exp(x[n] - max x) / sum over c of exp(x[c] - max x)"), body)]


def softmax_lines(x: str, y: str, channels: int, temperature: float) -> list[str]:
    """The statements of a softmax over so many numbers."""
    shrink = "" if temperature == 1 else f" * {number(1 / temperature)}"
    return [
        f"const float *const in = {x};",
        f"float *const out = {y};",
        "float largest = in[0], sum = 0.0f;",
        *nest([count("n", channels)], ["largest = in[n] > largest ? in[n] : largest;"]),
        *nest([count("n", channels)], [f"out[n] = expf((in[n] - largest){shrink});", "sum += out[n];"]),
        *nest([count("n", channels)], ["out[n] /= sum;"]),
    ]


def maxout(site: Site) -> list[Function]:
    """The largest of neighbouring channels."""
    o, C, out = site.operation, site.input[0], site.output[0]
    assert isinstance(o, Maxout)
    body = nest(
        [count("n", out)],
        [
            f"const float *const in = x + p * {C} + n * {o.pieces};",
            "float largest = in[0];",
            *nest([f"for (int c = 1; c < {o.pieces}; ++c)"], ["largest = in[c] > largest ? in[c] : largest;"]),
            f"y[p * {out} + n] = largest;",
        ],
    )
    return [_function(site, ("maxout", f"y[n] = the largest x[{o.pieces} n + c], c below {o.pieces}"), body)]


def channel_shuffle(site: Site) -> list[Function]:
    """The channels of every group dealt out over all groups."""
    o, C = site.operation, site.input[0]
    assert isinstance(o, ChannelShuffle)
    share = C // o.groups
    body = nest(
        [count("n", share), count("g", o.groups)], [f"y[p * {C} + n * {o.groups} + g] = x[p * {C} + g * {share} + n];"]
    )
    return [_function(site, (f"channel shuffle, {o.groups} groups", f"y[{o.groups} n + g] = x[{share} g + n]"), body)]


def flatten(site: Site) -> list[Function]:
    """All axes in one, channels slowest, as torch has them; pixels are slowest here."""
    C, *sizes = site.input
    letters = AXES[-len(sizes) :] if sizes else ()
    if C == 1 or prod(sizes) == 1:
        return []
    pixel = at(letters, sizes, 1)
    heads = [count(letter, n) for letter, n in zip(letters, sizes, strict=True)]
    line = f"y[n * {prod(sizes)} + {pixel}] = x[{at(letters, sizes, C)} + n];"
    return [
        Function(
            name=f"{site.symbol}_flatten",
            told=(f"{site.name}: flatten, {written(site.input)} -> {written(site.output)}, channels slowest",),
            body=tuple(nest([*heads, count("n", C)], [line])),
            size=prod(sizes) * C,
        )
    ]


def join(site: Site, ends: Sequence[Shape]) -> Function:
    """Where branches meet."""
    o = site.operation
    assert isinstance(o, Branches)
    each = ["x"] if len(ends) == 1 else [f"x{i}" for i in range(len(ends))]
    if o.join == "add":
        size = prod(site.output)
        body = nest([count("n", size)], [f"y[n] = {' + '.join(f'{x}[n]' for x in each)};"])
    else:
        C, starts = site.output[0], [sum(end[0] for end in ends[:i]) for i in range(len(ends))]
        pixels = prod(site.output[1:])
        copies = [
            f"memcpy(y + p * {C} + {start}, {x} + p * {end[0]}, {end[0]} * sizeof *y);"
            for x, end, start in zip(each, ends, starts, strict=True)
        ]
        body = nest([count("p", pixels)], copies)
    meeting = {"add": "sum of branches", "concatenate": "branches side by side along the channels"}[o.join]
    return Function(
        name=f"{site.symbol}_{o.join}",
        told=(f"{site.name}: {meeting}, {' and '.join(map(written, ends))} -> {written(site.output)}",),
        body=tuple(body),
        size=prod(site.output),
        inputs=len(ends),
    )
