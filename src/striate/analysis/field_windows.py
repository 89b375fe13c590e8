"""Receptive fields through sliding windows: convolution, transposed convolution, pooling, upsampling, im2col."""

from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise

from striate.analysis.call import Call
from striate.analysis.field import Field, scaled, still
from striate.analysis.field_views import Lookup, Rule


def _each(values: object, count: int) -> list[int]:
    """An option of torch's as one number an axis: torch takes a list of one for all."""
    numbers = [values] if isinstance(values, int) else list(values)  # type: ignore[call-overload]
    return numbers * count if len(numbers) == 1 else numbers


def _convolution(call: Call, fields: Lookup) -> Field | None:
    field = fields(call["input"])
    if field is None:
        return _of_the_weight(call, fields)
    axes = call["weight"].ndim - 2
    batched = len(field.dims) == axes + 2
    channels = int(batched)
    field = field.spread([channels]).replaced(channels, still(call.output.shape[channels], len(field.intervals)))
    options = (call["weight"].shape[2:], *(_each(call[name], axes) for name in ("stride", "dilation", "padding")))
    for axis, (size, stride, dilation, padding) in enumerate(zip(*options, strict=True)):
        dim = channels + 1 + axis
        out = call.output.shape[dim]
        if not call["transposed"]:
            field = field.window(dim, size, stride=stride, dilation=dilation, before=padding, out=out)
        elif stride == 1:
            before = (size - 1) * dilation - padding
            field = field.window(dim, size, dilation=dilation, before=before, out=out)
        else:
            first, last = Fraction(padding - (size - 1) * dilation, stride), Fraction(padding, stride)
            field = field.stretched(dim, out=out, scale=Fraction(1, stride), first=first, last=last)
    return field


def _of_the_weight(call: Call, fields: Lookup) -> Field | None:
    """Kernels that are computed from the input: an output may depend on all of them."""
    weight = fields(call["weight"])
    if weight is None:
        return None
    seen = weight.spread(range(len(weight.dims)))
    return Field(tuple(still(n, len(seen.intervals)) for n in call.output.shape), seen.intervals).bound()


def _pool(call: Call, fields: Lookup) -> Field | None:
    field = fields(call["self"])
    if field is None:
        return None
    axes = _rank(call.name)
    sizes = _each(call["kernel_size"], axes)
    strides = _each(call["stride"] or sizes, axes)
    dilations = _each(call.arguments.get("dilation", 1), axes)
    paddings = _each(call["padding"], axes)
    first = len(field.dims) - axes
    for axis, (size, stride, dilation, padding) in enumerate(zip(sizes, strides, dilations, paddings, strict=True)):
        out = call.output.shape[first + axis]
        field = field.window(first + axis, size, stride=stride, dilation=dilation, before=padding, out=out)
    return field


def _rank(name: str) -> int:
    """How many axes an operation has, by the number in its name: 2 of "avg_pool2d"."""
    return next(int(mark) for mark, after in pairwise(name) if mark in "123" and after == "d")


def _adaptive_pool(call: Call, fields: Lookup) -> Field | None:
    """Window o covers entries floor(o n / m) to ceil((o + 1) n / m) - 1."""
    field = fields(call["self"])
    if field is None:
        return None
    axes = _rank(call.name)
    for dim in range(len(field.dims) - axes, len(field.dims)):
        n, m = field.shape[dim], call.output.shape[dim]
        if n % m == 0:
            field = field.window(dim, n // m, stride=n // m, out=m)
        else:
            scale = Fraction(n, m)
            slack = _slack(scale)
            field = field.stretched(dim, out=m, scale=scale, first=-slack, last=scale - 1 + slack)
    return field


def _slack(scale: Fraction) -> Fraction:
    """The most that rounding down takes from a multiple of `scale`."""
    return 1 - Fraction(1, scale.denominator)


def _upsample(call: Call, fields: Lookup) -> Field | None:
    """Entry o is made of entries around (o + 1/2) n / m - 1/2, or, corners aligned, o (n - 1) / (m - 1)."""
    field = fields(call["self"])
    if field is None:
        return None
    axes = _rank(call.name)
    aligned = bool(call.arguments.get("align_corners"))
    factors = [factor for name, factor in call.arguments.items() if name.startswith("scales")]
    for dim, factor in zip(range(len(field.dims) - axes, len(field.dims)), factors, strict=True):
        n, m = field.shape[dim], call.output.shape[dim]
        if n == m:
            continue
        asked = Fraction(n, m) if factor is None else 1 / Fraction(factor)
        scale = Fraction(n - 1, max(m - 1, 1)) if aligned else asked
        centre = Fraction(0) if aligned else scale / 2 - Fraction(1, 2)
        if "nearest_exact" in call.name:
            first, last = scale / 2 - 1, scale / 2
        elif "nearest" in call.name:
            first, last = -_slack(scale), Fraction(0)
        else:
            wide = 2 if "bicubic" in call.name else 1
            first, last = centre - wide, centre + wide
        field = field.stretched(dim, out=m, scale=scale, first=first, last=last)
    return field


def _im2col(call: Call, fields: Lookup) -> Field | None:
    """F.unfold: (B, C, H, W) -> (B, C K_H K_W, windows)."""
    field = fields(call["self"])
    if field is None:
        return None
    options = [_each(call[name], 2) for name in ("kernel_size", "dilation", "padding", "stride")]
    channels, places = list(field.dims[1]), []
    for dim, size, dilation, padding, stride in zip((2, 3), *options, strict=True):
        field, atom = field.sliding(dim)
        room = atom.size + 2 * padding - dilation * (size - 1) - 1
        field = field.shifted(atom.jumps, -padding, -padding)
        channels.append(scaled(atom, dilation, size))
        places.append(scaled(atom, stride, room // stride + 1))
    return Field((field.dims[0], tuple(channels), tuple(places)), field.intervals)


_POOLS = tuple(f"{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3))
_WITH_INDICES = ("max_pool2d_with_indices", "max_pool3d_with_indices", "mkldnn_max_pool2d", "mkldnn_max_pool3d")
_ADAPTIVE = tuple(f"{mark}adaptive_{kind}_pool{n}d" for mark in ("", "_") for kind in ("avg", "max") for n in (1, 2, 3))
_UPSAMPLE = (
    *(f"{mark}upsample_nearest{exact}{n}d" for n in (1, 2, 3) for mark, exact in (("", ""), ("_", "_exact"))),
    "upsample_linear1d",
    "upsample_bilinear2d",
    "upsample_bicubic2d",
    "upsample_trilinear3d",
)
WINDOWS: Mapping[str, Rule] = {
    "convolution": _convolution,
    "im2col": _im2col,
    **dict.fromkeys((*_POOLS, *_WITH_INDICES), _pool),
    **dict.fromkeys(_ADAPTIVE, _adaptive_pool),
    **dict.fromkeys(_UPSAMPLE, _upsample),
}
