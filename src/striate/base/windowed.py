"""Operations that slide a window over a picture: convolution, transposed convolution and pooling.

Input (C, *spatial) with 1, 2 or 3 spatial axes; the rank is the input's.  The size formulas are in `shapes.py`, the
rules of padding in `padding.py`; this file gives them names, and errors that say what would fit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from math import gcd
from sys import float_info
from typing import Any, ClassVar

from striate.base.errors import ConfigError
from striate.base.operations import Number, Operation, Shape, divisors, one_of, positive, written
from striate.base.padding import BORDERS, Padding, Pixels, check_border, explicit, resolve
from striate.base.shapes import Size, Sizes, output_size, per_axis, pool_places, reach, transposed_size


class Windowed(Operation):
    """What the operations of this file share."""

    def spatial(self, x: Shape) -> Sizes:
        """The spatial axes of an input; refuses a vector."""
        if not 2 <= len(x) <= 4:
            fix = "give (C, W), (C, H, W) or (C, D, H, W): put it before flatten"
            raise self.refuse("channels and 1 to 3 axes", x, fix)
        return x[1:]

    def needs(self, x: Shape, kernel: Sizes, dilation: Sizes, padding: Sizes, over: Sizes) -> None:
        """Refuse a window that reaches over more than the picture and its padding (pixels in all, an axis).

        `over`: by how many pixels a window may stand over all the same, as it may with ceil_mode.
        """
        need = tuple(reach(k, d) for k, d in zip(kernel, dilation, strict=True))
        room = tuple(n + p for n, p in zip(x[1:], padding, strict=True))
        if all(r <= n + o for r, n, o in zip(need, room, over, strict=True)):
            return
        spread = f", which spreads over {written(need)}" if need != kernel else ""
        bordered = f" ({written(room)} with its padding)" if room != x[1:] else ""
        pad = max(-(-(r - n - o) // 2) for r, n, o in zip(need, x[1:], over, strict=True))
        smaller = tuple(min(k, (n - 1) // d + 1) for k, n, d in zip(kernel, room, dilation, strict=True))
        padded = [f"pad {pad}"] if self.fits(x, "padding", pad) else []
        shrunk = [f"a {written(smaller)} kernel"] if self.fits(x, "kernel_size", smaller) else []
        known = "".join(f"{way}, " for way in padded + shrunk)
        fix = f"{f'use {known}or ' if known else ''}give it a larger map: a larger input, or less pooling"
        must = f"at least as large as the {written(kernel)} kernel{spread}"
        raise ConfigError(self.kind, "the map", must, got=f"{written(x)}{bordered}", fix=fix)

    def canonical(self, x: Shape) -> Operation:  # noqa: ARG002 - a kernel needs it
        """One number where all axes have the same."""
        values = {own.name: getattr(self, own.name) for own in fields(self)}  # type: ignore[arg-type]  # the same
        return replace(self, **{name: _alike(value) for name, value in values.items()})  # type: ignore[type-var]

    def fits(self, x: Shape, name: str, value: Size) -> bool:
        """Whether the operation has that field, and takes x with that value in it."""
        if name not in {own.name for own in fields(self)}:  # type: ignore[arg-type]  # those that call it are
            return False
        try:
            replace(self, **{name: value}).shape(x)  # type: ignore[type-var]
        except ConfigError:
            return False
        return True


class Kernels(Windowed):
    """A convolution, either way."""

    kernel_size: Size

    def canonical(self, x: Shape) -> Operation:
        """One number where all axes have the same, but for the kernel: the shape of its weights."""
        kernel = per_axis("kernel_size", self.kernel_size, len(x) - 1, where=self.kind)
        plain: Any = super().canonical(x)
        return replace(plain, kernel_size=kernel) if len(kernel) > 1 else plain


@dataclass(frozen=True, slots=True)
class Conv(Kernels):
    """Convolution; options as in `calculus/conv.py`.

    Args:
        out_channels: kernels.
        kernel_size: entries, one number for all axes or one for each.
        stride: pixels from window to window.
        padding: pixels, pixels an axis, ((before, after), ...), or "valid", "same", "full".
        dilation: pixels from kernel entry to kernel entry.
        groups: output group g sees input group g alone.
        bias: whether a learnt number is added to each output channel.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        flip_kernel: true convolution, the kernel turned by 180 degrees.
    """

    kind: ClassVar[str] = "conv"
    out_channels: int
    kernel_size: Size
    stride: Size = 1
    padding: Padding = 0
    dilation: Size = 1
    groups: int = 1
    bias: bool = True
    padding_mode: str = "zeros"
    flip_kernel: bool = False

    def __post_init__(self) -> None:
        positive(self.kind, "out_channels", self.out_channels)
        positive(self.kind, "groups", self.groups)
        one_of(self.kind, "padding_mode", self.padding_mode, BORDERS)
        _divides(self.kind, "out_channels", self.out_channels, self.groups)

    def shape(self, x: Shape) -> Shape:
        """(out_channels, *windows)."""
        sizes = self.spatial(x)
        _divides(self.kind, "the channels of the input", x[0], self.groups, also=self.out_channels)
        kernel, stride, dilation = _axes(self.kind, len(sizes), self.kernel_size, self.stride, self.dilation)
        pairs = resolve(self.padding, sizes, kernel, stride, dilation)
        self.needs(x, kernel, dilation, tuple(sum(pair) for pair in pairs), (0,) * len(sizes))
        check_border(self.padding_mode, sizes, pairs)
        zipped = zip(sizes, kernel, stride, pairs, dilation, strict=True)
        return self.out_channels, *(output_size(n, k, s, *pair, d) for n, k, s, pair, d in zipped)

    def parameters(self, x: Shape) -> Mapping[str, Shape]:
        """(O, C / groups, *kernel) weights, and O biases."""
        kernel = per_axis("kernel_size", self.kernel_size, len(x) - 1, where=self.kind)
        bias = {"bias": (self.out_channels,)} if self.bias else {}
        return {"weight": (self.out_channels, x[0] // self.groups, *kernel)} | bias


@dataclass(frozen=True, slots=True)
class ConvTranspose(Kernels):
    """Transposed convolution; `padding` is what is taken away at each side, the options torch's."""

    kind: ClassVar[str] = "conv_transpose"
    out_channels: int
    kernel_size: Size
    stride: Size = 1
    padding: Pixels = 0
    output_padding: Size = 0
    groups: int = 1
    bias: bool = True
    dilation: Size = 1

    def __post_init__(self) -> None:
        positive(self.kind, "out_channels", self.out_channels)
        positive(self.kind, "groups", self.groups)
        _divides(self.kind, "out_channels", self.out_channels, self.groups)

    def shape(self, x: Shape) -> Shape:
        """(out_channels, *stamped pixels)."""
        sizes = self.spatial(x)
        _divides(self.kind, "the channels of the input", x[0], self.groups, also=self.out_channels)
        kernel, stride, dilation = _axes(self.kind, len(sizes), self.kernel_size, self.stride, self.dilation)
        extra = per_axis("output_padding", self.output_padding, len(sizes), where=self.kind, minimum=0)
        zipped = zip(sizes, kernel, stride, explicit(self.padding, len(sizes)), extra, dilation, strict=True)
        return self.out_channels, *(transposed_size(*axis) for axis in zipped)

    def parameters(self, x: Shape) -> Mapping[str, Shape]:
        """(C, O / groups, *kernel) weights, and O biases."""
        kernel = per_axis("kernel_size", self.kernel_size, len(x) - 1, where=self.kind)
        bias = {"bias": (self.out_channels,)} if self.bias else {}
        return {"weight": (x[0], self.out_channels // self.groups, *kernel)} | bias


class Pool(Windowed):
    """A pooling: every channel by itself, one number a window."""

    kernel_size: Size
    stride: Size | None

    def canonical(self, x: Shape) -> Operation:
        """One number where all axes have the same; no stride where it is the kernel's, as it then is anyway."""
        plain: Any = super().canonical(x)
        return replace(plain, stride=None) if plain.stride == plain.kernel_size else plain

    def pooled(
        self,
        x: Shape,
        kernel_size: Size,
        stride: Size | None,
        ceil_mode: bool,
        padding: Size = 0,
        dilation: Size = 1,
    ) -> Shape:
        """(C, *windows)."""
        sizes = self.spatial(x)
        kernel, gaps = _axes(self.kind, len(sizes), kernel_size, dilation, names=("kernel_size", "dilation"))
        pads = per_axis("padding", padding, len(sizes), where=self.kind, minimum=0)
        steps = per_axis("stride", kernel if stride is None else stride, len(sizes), where=self.kind)
        over = tuple(s - 1 if ceil_mode else 0 for s in steps)
        self.needs(x, kernel, gaps, tuple(2 * p for p in pads), over)
        places = pool_places(sizes, kernel, stride=stride, padding=pads, dilation=gaps, ceil_mode=ceil_mode)
        return x[0], *places.out


@dataclass(frozen=True, slots=True)
class MaxPool(Pool):
    """The largest number of each window."""

    kind: ClassVar[str] = "max_pool"
    kernel_size: Size
    stride: Size | None = None
    padding: Size = 0
    dilation: Size = 1
    ceil_mode: bool = False

    def shape(self, x: Shape) -> Shape:
        """(C, *windows)."""
        return self.pooled(x, self.kernel_size, self.stride, self.ceil_mode, self.padding, self.dilation)


@dataclass(frozen=True, slots=True)
class MeanPool(Pool):
    """The average of each window; torch's AvgPool."""

    kind: ClassVar[str] = "mean_pool"
    kernel_size: Size
    stride: Size | None = None
    padding: Size = 0
    ceil_mode: bool = False
    count_include_pad: bool = True

    def shape(self, x: Shape) -> Shape:
        """(C, *windows)."""
        return self.pooled(x, self.kernel_size, self.stride, self.ceil_mode, self.padding)


@dataclass(frozen=True, slots=True)
class LpPool(Pool):
    """The p-norm of each window, p = norm_type >= 1."""

    kind: ClassVar[str] = "lp_pool"
    norm_type: Number
    kernel_size: Size
    stride: Size | None = None
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.norm_type <= float_info.max:
            fix = "1 is the sum, 2 the root of the energy; for the maximum use max_pool"
            raise ConfigError(self.kind, "norm_type", ">= 1 and finite", got=self.norm_type, fix=fix)

    def shape(self, x: Shape) -> Shape:
        """(C, *windows)."""
        return self.pooled(x, self.kernel_size, self.stride, self.ceil_mode)


@dataclass(frozen=True, slots=True)
class StochasticPool(Pool):
    """One number of each window, drawn in training; its expectation in evaluation.  The input must be >= 0."""

    kind: ClassVar[str] = "stochastic_pool"
    kernel_size: Size
    stride: Size | None = None
    ceil_mode: bool = False

    def shape(self, x: Shape) -> Shape:
        """(C, *windows)."""
        return self.pooled(x, self.kernel_size, self.stride, self.ceil_mode)


@dataclass(frozen=True, slots=True)
class AdaptivePool(Windowed):
    """As many windows as asked for, laid to cover the input; 1 is global pooling."""

    output_size: Size

    def shape(self, x: Shape) -> Shape:
        """(C, *output_size)."""
        sizes = self.spatial(x)
        return x[0], *per_axis("output_size", self.output_size, len(sizes), where=self.kind)


@dataclass(frozen=True, slots=True)
class AdaptiveMeanPool(AdaptivePool):
    """The average of each window."""

    kind: ClassVar[str] = "adaptive_mean_pool"


@dataclass(frozen=True, slots=True)
class AdaptiveMaxPool(AdaptivePool):
    """The largest number of each window."""

    kind: ClassVar[str] = "adaptive_max_pool"


def _alike(value: Any) -> Any:
    """A field: of sizes or (before, after) pairs one number where all are that number, else a tuple."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return value
    entries = tuple(_alike(entry) for entry in value)
    return entries[0] if len(set(entries)) == 1 and not isinstance(entries[0], tuple) else entries


def _axes(
    where: str, dims: int, *values: Size, names: tuple[str, ...] = ("kernel_size", "stride", "dilation")
) -> tuple[Sizes, ...]:
    return tuple(per_axis(name, value, dims, where=where) for name, value in zip(names, values, strict=True))


def _divides(where: str, what: str, channels: int, groups: int, also: int = 0) -> None:
    """Refuse channels that the groups do not divide; the groups named instead divide `also` too."""
    if channels % groups:
        fits = divisors(gcd(channels, also))[-2:]
        fix = f"use groups {' or '.join(map(str, fits))}, or {channels // groups * groups + groups} channels"
        raise ConfigError(where, what, f"a multiple of groups {groups}", got=channels, fix=fix)
