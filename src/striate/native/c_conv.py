"""Convolution and linear layers for C: padding, shapes, and the order in which weights lie.

Weights lie as the loops read them, [group][block of B output channels][window entry][input channel][B], so that one
pointer runs through; the last block is filled up with zeros, which are computed and not stored.
"""

from math import prod

import numpy as np

from striate.base.operations import written
from striate.base.padding import resolve
from striate.base.shapes import per_axis
from striate.base.windowed import Conv
from striate.native.c_depthwise import depthwise
from striate.native.c_function import AXES, KERNEL, Function, Site
from striate.native.c_pad import pad
from striate.native.c_quantise import single
from striate.native.c_sums import Sums, Windows, reach
from striate.native.c_tile import Tile, tile


def conv(site: Site) -> list[Function]:
    """The functions of a convolution: its padding, where it has any, and the sums."""
    o, sizes, rank = site.operation, site.input[1:], len(site.input) - 1
    assert isinstance(o, Conv)
    kernel, stride, dilation = (
        per_axis("conv", value, rank, where="conv") for value in (o.kernel_size, o.stride, o.dilation)
    )
    pairs = resolve(o.padding, sizes, kernel, stride, dilation)
    before = [pad(site, pairs, o.padding_mode)] if any(map(any, pairs)) else []
    padded = tuple(n + sum(pair) for n, pair in zip(sizes, pairs, strict=True))
    windows = Windows(site.input[0], padded, site.output[1:], kernel, stride, dilation, o.groups)
    weight = site.tensors["weight"]
    if o.flip_kernel:
        weight = np.flip(weight, tuple(range(2, weight.ndim)))
    own_kernels = o.groups == site.input[0] == o.out_channels and o.groups > 1
    function = depthwise(site, windows, weight, _told(site, windows)) if own_kernels else _dense(site, windows, weight)
    return [*before, function]


def linear(site: Site) -> list[Function]:
    """The function of a linear layer: a convolution without axes."""
    windows = Windows(site.input[0], (), (), (), (), (), 1)
    return [_dense(site, windows, site.tensors["weight"])]


def _told(site: Site, w: Windows) -> tuple[str, ...]:
    """The comment: shapes and formula."""
    shapes = f"{written(site.input)} -> {written(site.output)}"
    if not w.kernel:
        return f"{site.name}: linear, {shapes}", "y[o] = b[o] + sum over c of x[c] w[o][c]"
    rank = len(w.kernel)
    letters, inner = AXES[-rank:], KERNEL[-rank:]
    places = "".join(f"[{reach(*axis)}]" for axis in zip(letters, w.stride, inner, w.dilation, strict=True))
    outer, taps = "".join(f"[{a}]" for a in letters), "".join(f"[{u}]" for u in inner)
    options = [f"kernel {written(w.kernel)}", f"stride {written(w.stride)}"]
    options += [f"dilation {written(w.dilation)}"] if set(w.dilation) != {1} else []
    options += [f"{w.groups} groups, c within that of o"] if w.groups > 1 else []
    padded = f" (padded to {written(w.sizes)})" if w.sizes != site.input[1:] else ""
    return (
        f"{site.name}: convolution, {shapes}{padded}, {', '.join(options)}",
        f"y{outer}[o] = b[o] + sum over {', '.join(inner)}, c of x{places}[c] w[o]{taps}[c]",
    )


def _dense(site: Site, windows: Windows, weight: np.ndarray) -> Function:
    """Every output channel of a group sees all input channels of the group."""
    w = windows.in_a_row() if len(windows.out) > 1 and windows.is_pointwise else windows
    chosen = tile(site.output[0] // w.groups, w.out[-1] if w.out else 1)
    stored, name = site.store(weight), site.symbol
    bias = single(site.tensors.get("bias", np.zeros(site.output[0])))
    arrays = {
        f"{name}_weight": _packed(stored.values, w.groups, chosen),
        f"{name}_bias": _blocks(bias, w.groups, chosen),
    }
    if stored.scale is not None:
        arrays[f"{name}_scale"] = _blocks(stored.scale, w.groups, chosen)
    sums = Sums(name, w, chosen, site.output[0], stored.scale is not None)
    return Function(
        name=f"{name}_{site.operation.kind}",
        told=_told(site, windows),
        body=tuple(sums.lines()),
        size=prod(site.output),
        arrays=arrays,
        stack=sums.stack_bytes,
    )


def _packed(weights: np.ndarray, groups: int, chosen: Tile) -> np.ndarray:
    """(O, I, *kernel) -> [group][block][*kernel][I][B]."""
    out, inputs, kernel = len(weights) // groups, weights.shape[1], weights.shape[2:]
    filled = np.zeros((groups, chosen.blocks * chosen.channels, inputs, *kernel), weights.dtype)
    filled[:, :out] = weights.reshape(groups, out, inputs, *kernel)
    split = filled.reshape(groups, chosen.blocks, chosen.channels, inputs, *kernel)
    return np.ascontiguousarray(np.moveaxis(split, (2, 3), (-1, -2)))


def _blocks(values: np.ndarray, groups: int, chosen: Tile) -> np.ndarray:
    """(O,) -> [group][block][B], filled up with zeros."""
    filled = np.zeros((groups, chosen.blocks * chosen.channels), values.dtype)
    filled[:, : len(values) // groups] = values.reshape(groups, -1)
    return filled
