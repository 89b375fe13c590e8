"""A network's description as a row of C functions with one static array for all that they hand on.

Maps lie with channels innermost, [pixel][channel].  torch flattens them with channels slowest: a linear layer that
follows takes its weights in our order instead, so that nothing is moved.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from striate.base.errors import ConfigError
from striate.base.network import Branches, Network, Operations
from striate.base.operations import (
    Activation,
    BatchNorm,
    ChannelShuffle,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    Maxout,
    Operation,
    PReLU,
    Shape,
    Softmax,
)
from striate.base.windowed import AdaptiveMaxPool, AdaptiveMeanPool, Conv, MaxPool, MeanPool
from striate.native import c_channels, c_conv, c_plan, c_pointwise, c_pool
from striate.native.c_function import Function, Site
from striate.native.c_quantise import PRECISIONS
from striate.native.c_text import remark

WRITERS: Mapping[type[Operation], Callable[[Site], list[Function]]] = {
    Conv: c_conv.conv,
    Linear: c_conv.linear,
    MaxPool: c_pool.max_pool,
    MeanPool: c_pool.mean_pool,
    AdaptiveMeanPool: c_pool.mean_pool,
    AdaptiveMaxPool: c_pool.max_pool,
    Activation: c_pointwise.activation,
    PReLU: c_pointwise.prelu,
    BatchNorm: c_pointwise.batch_norm,
    Dropout: lambda _: [],
    Flatten: c_channels.flatten,
    LocalResponseNorm: c_channels.local_response_norm,
    Softmax: c_channels.softmax,
    Maxout: c_channels.maxout,
    ChannelShuffle: c_channels.channel_shuffle,
}


@dataclass(frozen=True, slots=True)
class Call:
    """A function and the values that it is called with.

    Args:
        function: what is called.
        inputs: numbers of values.
        output: the number of another, or of the input where it works in its place.
    """

    function: Function
    inputs: tuple[int, ...]
    output: int


@dataclass(frozen=True, slots=True)
class Program:
    """All calls of a network.

    Args:
        calls: in order.
        begins: where in the static array each value begins, in numbers; 0 is the network's input.
        size: of that array, in numbers.
        result: the value that comes out.
    """

    calls: tuple[Call, ...]
    begins: tuple[int, ...]
    size: int
    result: int

    @property
    def functions(self) -> tuple[Function, ...]:
        """In the order of the calls."""
        return tuple(call.function for call in self.calls)


@dataclass(slots=True)
class _Writing:
    """What is known while the network is gone through."""

    tensors: Mapping[str, np.ndarray]
    names: Mapping[str, str]
    precision: str
    sizes: list[int] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def value(self, size: int) -> int:
        self.sizes.append(size)
        return len(self.sizes) - 1

    def call(self, function: Function, inputs: tuple[int, ...], *, in_place: bool) -> int:
        """Add a call; the value that it gives."""
        output = inputs[0] if in_place and function.in_place else self.value(function.size)
        self.calls.append(Call(function, inputs, output))
        return output


def program(
    network: Network, tensors: Mapping[str, np.ndarray], names: Mapping[str, str], precision: str = "float32"
) -> Program:
    """The calls that compute a network, from its normalised input to its logits.

    Args:
        network: the description, batch normalisation folded or not.
        tensors: its parameters and buffers by place.
        names: what its layers are called, by place, for people.
        precision: "float32" or "int8".

    Raises:
        ConfigError: an operation that has no C yet, by its name.
    """
    writing = _Writing(tensors, names, precision)
    start = writing.value(prod(network.input_shape))
    result, _ = _row(writing, network.operations, start, network.input_shape, prefix="", owned=True)
    last = len(writing.calls)
    values = []
    for number, size in enumerate(writing.sizes):
        used = [at for at, call in enumerate(writing.calls) if number in (*call.inputs, call.output)]
        first = -1 if number == start else used[0]
        values.append(c_plan.Value(size, first, last if number == result else max(used, default=-1)))
    begins, size = c_plan.place(values)
    return Program(tuple(writing.calls), tuple(begins), size, result)


def _row(
    writing: _Writing, operations: Operations, value: int, x: Shape, *, prefix: str, owned: bool
) -> tuple[int, Shape]:
    """The value after a row of operations, and its shape; `owned`: nobody else reads what the row begins with."""
    flat: Shape | None = None  # the map that a vector still lies like
    for number, operation in enumerate(operations):
        site = _site(writing, operation, x, f"{prefix}{number}")
        if isinstance(operation, Branches):
            value = _branches(writing, site, value)
            owned = True
        elif isinstance(operation, Flatten) and _into_linear(operations[number + 1 :]):
            flat = x
        else:
            if isinstance(operation, Linear) and flat is not None:
                site, flat = _in_our_order(site, flat), None
            for function in _functions(site):
                value = writing.call(function, (value,), in_place=owned)
                owned = True
        x = site.output
    return value, x


def _site(writing: _Writing, operation: Operation, x: Shape, place: str) -> Site:
    own = f"{place}."
    tensors = {}
    if not isinstance(operation, Branches):
        tensors = {name.removeprefix(own): t for name, t in writing.tensors.items() if name.startswith(own)}
    return Site(
        place=place,
        name=remark(writing.names.get(place, "") or f"operation {place}"),
        operation=operation,
        input=x,
        output=operation.shape(x),
        tensors=tensors,
        store=PRECISIONS[writing.precision],
    )


def _functions(site: Site) -> list[Function]:
    writer = WRITERS.get(type(site.operation))
    if writer is None:
        known = ", ".join(sorted({kind.kind for kind in WRITERS} | {Branches.kind}))
        fix = f"train a network without it; C is written for {known}"
        raise ConfigError(
            "export", f"layer {site.name}", "one that can be written in C", got=site.operation.kind, fix=fix
        )
    return writer(site)


def _branches(writing: _Writing, site: Site, value: int) -> int:
    operation = site.operation
    assert isinstance(operation, Branches)
    ends = []
    for number, branch in enumerate(operation.branches):
        prefix = f"{site.place}.{number}."
        ends.append(_row(writing, branch, value, site.input, prefix=prefix, owned=False))
    function = c_channels.join(site, [shape for _, shape in ends])
    return writing.call(function, tuple(end for end, _ in ends), in_place=False)


def _into_linear(rest: Operations) -> bool:
    """Whether a linear layer follows, after nothing but what treats all numbers alike."""
    for operation in rest:
        if isinstance(operation, Linear):
            return True
        alike = isinstance(operation, Activation | Dropout) or (
            isinstance(operation, PReLU) and operation.num_parameters == 1
        )
        if not alike:
            return False
    return False


def _in_our_order(site: Site, flat: Shape) -> Site:
    """The linear layer for inputs that lie [pixel][channel]."""
    weight = site.tensors["weight"]
    moved = np.moveaxis(weight.reshape(len(weight), *flat), 1, -1).reshape(weight.shape)
    return replace(site, tensors={**site.tensors, "weight": moved})
