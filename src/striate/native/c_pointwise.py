"""What is done number by number in C, in the place of the input where that is needed no more.

Formulas as in `striate.calculus.activations`; x is a number of the input.
"""

from collections.abc import Callable, Mapping
from math import prod

import numpy as np

from striate.base.operations import Activation, BatchNorm, PReLU, written
from striate.calculus.activations import AMPLITUDE, STRETCH
from striate.native.c_function import Function, Site
from striate.native.c_quantise import single
from striate.native.c_text import count, nest, number
from striate.native.fold import scale_and_shift

FORMULAS: Mapping[str, Callable[[Activation], str]] = {
    "hard_limit": lambda _: "v >= 0.0f ? 1.0f : 0.0f",
    "sigmoid": lambda _: "1.0f / (1.0f + expf(-v))",
    "tanh": lambda _: "tanhf(v)",
    "scaled_tanh": lambda _: f"{number(AMPLITUDE)} * tanhf({number(STRETCH)} * v)",
    "relu": lambda _: "v > 0.0f ? v : 0.0f",
    "leaky_relu": lambda o: f"v > 0.0f ? v : {number(o.negative_slope)} * v",
    "elu": lambda o: f"v > 0.0f ? v : {number(o.alpha)} * expm1f(v)",
    "swish": lambda _: "v / (1.0f + expf(-v))",
    "gelu": lambda _: "0.5f * v * erfcf(-0.707106781f * v)",
}


def activation(site: Site) -> list[Function]:
    """A function of each number; none for the one that changes nothing."""
    o = site.operation
    assert isinstance(o, Activation)
    if o.name == "linear":
        return []
    return [_each(site, o.name, FORMULAS[o.name](o))]


def prelu(site: Site) -> list[Function]:
    """Leaky ReLU with slopes that were learnt."""
    o = site.operation
    assert isinstance(o, PReLU)
    slopes = single(site.tensors["weight"])
    if len(slopes) == 1:
        return [_each(site, "prelu", f"v > 0.0f ? v : {number(float(slopes[0]))} * v")]
    name = f"{site.symbol}_slope"
    return [_each_channel(site, "prelu", f"v > 0.0f ? v : {name}[n] * v", {name: slopes})]


def batch_norm(site: Site) -> list[Function]:
    """Scale and shift of each channel, where no convolution takes them in."""
    o = site.operation
    assert isinstance(o, BatchNorm)
    scale, shift = scale_and_shift({f"own.{name}": value for name, value in site.tensors.items()}, "own", o.eps)
    arrays = {f"{site.symbol}_scale": single(scale), f"{site.symbol}_shift": single(shift)}
    formula = f"v * {site.symbol}_scale[n] + {site.symbol}_shift[n]"
    return [_each_channel(site, "batch_norm", formula, arrays)]


def _each(site: Site, kind: str, formula: str) -> Function:
    size = prod(site.input)
    body = nest([count("n", size)], ["const float v = x[n];", f"y[n] = {formula};"])
    told = f"{site.name}: {kind}, {written(site.input)}"
    return Function(
        name=f"{site.symbol}_{kind}", told=(told, f"y = {formula}"), body=tuple(body), size=size, in_place=True
    )


def _each_channel(site: Site, kind: str, formula: str, arrays: Mapping[str, np.ndarray]) -> Function:
    size, C = prod(site.input), site.input[0]
    body = nest(
        [count("i", size, C) if size > C else "", count("n", C)][size == C :],
        ["const float v = x[i + n];", f"y[i + n] = {formula};"]
        if size > C
        else ["const float v = x[n];", f"y[n] = {formula};"],
    )
    return Function(
        name=f"{site.symbol}_{kind}",
        told=(f"{site.name}: {kind}, {written(site.input)}, n the channel", f"y = {formula}"),
        body=tuple(body),
        size=size,
        arrays=arrays,
        in_place=True,
    )
