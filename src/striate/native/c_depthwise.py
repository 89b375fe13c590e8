"""Convolution with one kernel a channel, in C: channels innermost, so that a vector is several channels.

Weights lie [window entry][channel].  Channels that a block does not divide end with a block that is shifted back.
"""

from math import prod

import numpy as np

from striate.native.c_function import AXES, KERNEL, Function, Site
from striate.native.c_quantise import single
from striate.native.c_sums import Windows, added, moved, reach
from striate.native.c_text import at, count, nest

TOGETHER = 32  # channels: four vectors of 8, which cover the time that a sum takes


def depthwise(site: Site, w: Windows, weight: np.ndarray, told: tuple[str, ...]) -> Function:
    """The function of a convolution with as many groups as channels, before and after."""
    stored, name, C = site.store(weight), site.symbol, site.output[0]
    bias = single(site.tensors.get("bias", np.zeros(C)))
    arrays = {f"{name}_weight": np.ascontiguousarray(np.moveaxis(stored.values[:, 0], 0, -1)), f"{name}_bias": bias}
    if stored.scale is not None:
        arrays[f"{name}_scale"] = stored.scale
    width = min(C, TOGETHER)
    letters, inner = AXES[-len(w.out) :], KERNEL[-len(w.out) :]
    places = [reach(*axis) for axis in zip(letters, w.stride, inner, w.dilation, strict=True)]
    taps = [count(u, k) for u, k in zip(inner, w.kernel, strict=True)]
    read = "(float)w[n]" if stored.scale is not None else "w[n]"
    kind = "int8_t" if stored.scale is not None else "float"
    scale = f" * {name}_scale[c + n]" if stored.scale is not None else ""
    first = (
        [f"const int c = s < {C - width} ? s : {C - width}; /* the last block is shifted back */"] if C % width else []
    )
    body = [
        *first,
        f"float sum[{width}] = {{0}};",
        *nest(
            taps,
            [
                f"const float *const in = {moved('x', added(at(places, w.sizes, C), 'c'))};",
                f"const {kind} *const w = {moved(f'{name}_weight', added(at(inner, w.kernel, C), 'c'))};",
                *nest([count("n", width)], [f"sum[n] += in[n] * {read};"]),
            ],
        ),
        f"float *const out = {moved('y', added(at(letters, w.out, C), 'c'))};",
        *nest([count("n", width)], [f"out[n] = sum[n]{scale} + {name}_bias[c + n];"]),
    ]
    pixels = [count(letter, n) for letter, n in zip(letters, w.out, strict=True)]
    return Function(
        name=f"{name}_{site.operation.kind}",
        told=told,
        body=tuple(nest([*pixels, count("s" if C % width else "c", C, width)], body)),
        size=prod(site.output),
        arrays=arrays,
        stack=4 * width,
    )
