"""One operation as torch runs it: its name and its arguments by the names of its schema."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from striate.base.operations import Shape


@dataclass(frozen=True, slots=True)
class Call:
    """An operation that has run.

    Args:
        name: torch's, without overload and without the underscore of those that write over their input: "convolution";
            of an operation of somebody else's with its library's before it, "mine::mm".
        arguments: by name, defaults filled in; tensors as they are.
        outputs: the tensors that came out.
        pointwise: whether each number of the output comes of the numbers in its place alone.
    """

    name: str
    arguments: Mapping[str, Any]
    outputs: tuple[Tensor, ...]
    pointwise: bool

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def inputs(self) -> Iterator[Tensor]:
        """The tensors among the arguments, those in lists too, but not where the result is to be written."""
        for name, value in self.arguments.items():
            if name == "out":
                continue
            if isinstance(value, Tensor):
                yield value
            elif isinstance(value, list | tuple):
                yield from (entry for entry in value if isinstance(entry, Tensor))

    @property
    def output(self) -> Tensor:
        """The first output."""
        return self.outputs[0]


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of an operation when its tensors are gone.

    Args:
        name: torch's.
        arguments: by name; of tensors the shapes, with the batch.
        output: the first output's shape.
        macs: multiply-accumulates.
        connections: weights and biases, each as often as it is used.
    """

    name: str
    arguments: Mapping[str, Any]
    output: Shape
    macs: int
    connections: int


def arguments_of(func: OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by the names of the operation's schema, defaults filled in."""
    names, defaults = _schema(func)
    return {**defaults, **dict(zip(names, args, strict=False)), **kwargs}


def call_of(func: OpOverload, arguments: Mapping[str, Any], result: Any) -> Call:
    """The call of an operation, with its result."""
    outputs = result if isinstance(result, list | tuple) else (result,)
    name = func.overloadpacket.__name__.rstrip("_")
    return Call(
        name=name if func.namespace == "aten" else f"{func.namespace}::{name}",
        arguments=arguments,
        outputs=tuple(one for one in outputs if isinstance(one, Tensor)),
        pointwise=torch.Tag.pointwise in func.tags,
    )


@cache
def _schema(func: OpOverload) -> tuple[tuple[str, ...], dict[str, Any]]:
    arguments = func._schema.arguments
    named = {one.name: one.default_value for one in arguments if one.has_default_value()}
    return tuple(one.name for one in arguments), named


def record(one: Call, macs: int, connections: int) -> Record:
    """The operation without its tensors."""
    kept = {name: _shapes(value) for name, value in one.arguments.items()}
    return Record(one.name, kept, tuple(one.output.shape), macs, connections)


def _shapes(value: Any) -> Any:
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, list | tuple):
        return tuple(_shapes(entry) for entry in value)
    return value
