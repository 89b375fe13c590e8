"""A network as data: the shape of its input and its operations in order, with branches where it forks.

    Network((1, 32, 32), (Conv(6, 5), Activation("relu"), MaxPool(2), Flatten(), Linear(10)))

A network that exists fits: the shapes are gone through when it is made, and the first operation that does not fit is
named by its place, its kind, what it gets and what would do.  Places count from 0; within branches "3.1.0" is operation
3, branch 1, operation 0.  Parameters are named by place, "3.1.0.weight", as nested `torch.nn.Sequential`s would name
them.  What a text notation parses to, the engines run and the analysis explains is this.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import partial
from itertools import islice
from reprlib import repr as brief  # a description may be endless: an error shows its beginning
from types import UnionType
from typing import Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

from striate.base.errors import ConfigError, ShapeError
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
    one_of,
    positive,
    written,
)
from striate.base.shapes import LIMIT
from striate.base.windowed import (
    AdaptiveMaxPool,
    AdaptiveMeanPool,
    Conv,
    ConvTranspose,
    LpPool,
    MaxPool,
    MeanPool,
    StochasticPool,
)

JOINS = ("concatenate", "add")
DEPTH = 32  # branches within branches: no network needs as many, and Python's stack ends somewhere
MOST = 10_000  # operations and branches of a network: beyond it nobody means what the description says
Operations = tuple[Operation, ...]
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Branches(Operation):
    """The same input through several rows of operations, which then meet.

    Args:
        branches: at least one; an empty row beside others is the identity, the shortcut of a residual block.
        join: "concatenate", side by side along the channels (inception), or "add", number on number (residual).
    """

    kind: ClassVar[str] = "branches"
    branches: tuple[Operations, ...]
    join: str = "concatenate"

    def __post_init__(self) -> None:
        one_of(self.kind, "join", self.join, JOINS)
        positive(self.kind, "branches", len(self.branches))
        if self.branches == ((),):
            fix = "write operations into it, or leave it out"
            raise ConfigError(self.kind, "a single branch", "of at least one operation", got="an empty one", fix=fix)

    def shape(self, x: Shape) -> Shape:
        """The shape where the branches have met."""
        ends = []
        for number, branch in enumerate(self.branches):
            steps = list(walk(branch, x, f"{number}."))
            ends.append(steps[-1].output if steps else x)
        return self.joined(ends)

    def joined(self, ends: list[Shape]) -> Shape:
        """The shape of what the branches ended with, joined."""
        got = " and ".join(written(end) for end in ends)
        if self.join == "add":
            if len(set(ends)) > 1:
                raise ConfigError(self.kind, "the branches to add", "of one shape", got=got, fix=self._alike(ends))
            return ends[0]
        if len({end[1:] for end in ends}) > 1:
            fix = 'stride all branches alike and keep the size within them, with padding "same"'
            raise ConfigError(self.kind, "the branches to concatenate", "alike but for channels", got=got, fix=fix)
        return sum(end[0] for end in ends), *ends[0][1:]

    def _alike(self, ends: list[Shape]) -> str:
        """What gives one shape to branches that end with several."""
        if len({end[1:] for end in ends}) > 1:
            return 'keep the size within them with padding "same", and stride all branches alike'
        shortcut = next((end for end, row in zip(ends, self.branches, strict=True) if not row), None)
        if shortcut is None:
            return f"end every branch with {_channels(ends[0])}"
        other = _channels(next(end for end in ends if end != shortcut))
        return f"end the row with {_channels(shortcut)}, or put {other} into the empty one: add(row | {other})"


def _channels(x: Shape) -> str:
    """The operation that brings any channels to those of a shape and keeps its size, as one writes it."""
    return f"conv {x[0]} {written((1,) * (len(x) - 1))}" if len(x) > 1 else f"linear {x[0]}"


@dataclass(frozen=True, slots=True)
class Step:
    """One operation in its place.

    Args:
        place: "3", or "3.1.0" within branches.
        operation: what is done.
        input: the shape that it gets.
        output: the shape that it makes.
    """

    place: str
    operation: Operation
    input: Shape
    output: Shape


def walk(operations: Operations, x: Shape, prefix: str = "") -> Iterator[Step]:
    """The operations of a row in order, canonical, each with its shapes; branches come after their own operations.

    Raises:
        ShapeError: an operation that does not fit, by its place and kind.
        ConfigError: branches nested beyond `DEPTH`.
    """
    _shallow(f"operation {prefix[:-1]}", prefix.count(".") // 2)
    for number, operation in enumerate(operations):
        place = f"{prefix}{number}"
        if isinstance(operation, Branches):
            ends, rows = [], []
            for index, branch in enumerate(operation.branches):
                inner = list(walk(branch, x, f"{place}.{index}."))
                yield from inner
                ends.append(inner[-1].output if inner else x)
                rows.append(_outer(inner, f"{place}.{index}."))
            y = _placed(place, operation, x, partial(operation.joined, ends))
            operation = Branches(tuple(rows), operation.join)
        else:
            y = _placed(place, operation, x, partial(operation.shape, x))
            operation = operation.canonical(x)
        yield Step(place, operation, x, y)
        x = y


def _outer(steps: Iterable[Step], prefix: str = "") -> Operations:
    """The operations of a row itself, without those within its branches."""
    return tuple(step.operation for step in steps if "." not in step.place.removeprefix(prefix))


def _placed(place: str, operation: Operation, x: Shape, rule: Callable[[], Shape]) -> Shape:
    try:
        y = rule()
        if max(y) > LIMIT:
            fix = "use a smaller input"
            raise ConfigError(operation.kind, "the output", f"of sizes <= {LIMIT}", got=written(y), fix=fix)
    except ConfigError as fault:
        where = f"operation {place} ({operation.kind}) on {written(x)}"
        raise ShapeError(where, fault, place=place, shape=x) from None
    return y


def _named(where: str, build: Callable[[], Made]) -> Made:
    """What is built; an error names the place."""
    try:
        return build()
    except ConfigError as error:
        raise ConfigError(where, error.what, error.must, got=error.got, fix=error.fix) from None


def _shallow(where: str, depth: int) -> None:
    if depth > DEPTH:
        raise ConfigError(where, "branches", f"nested {DEPTH} deep at most", got="more", fix="put rows side by side")


@dataclass(frozen=True, slots=True)
class Network:
    """A network that fits.

    Args:
        input_shape: of one sample: (C, H, W), (C, W), (C, D, H, W) or (F,).
        operations: in order; kept canonical, so that two ways to write one network are equal.

    Raises:
        ShapeError: an operation does not fit, with the value that would.
        ConfigError: no such input, more than `MOST` operations and branches, or branches nested beyond `DEPTH`.

    >>> net = Network((1, 8, 8), (Conv(2, 3), MaxPool(2), Flatten(), Linear(10)))
    >>> net.shapes()
    ((2, 6, 6), (2, 3, 3), (18,), (10,))
    >>> net.parameter_shapes()["3.weight"]
    (10, 18)
    """

    input_shape: Shape
    operations: Operations
    steps: tuple[Step, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.input_shape) <= 4 or not 1 <= min(self.input_shape) <= max(self.input_shape) <= LIMIT:
            fix = "give channels first: (1, 32, 32), or (F,) for a vector"
            must = f"sizes >= 1 and <= {LIMIT}, 4 at most"
            raise ConfigError("network", "input_shape", must, got=brief(self.input_shape), fix=fix)
        steps = tuple(islice(walk(self.operations, self.input_shape), MOST + 1))
        if len(steps) + sum(len(s.operation.branches) for s in steps if isinstance(s.operation, Branches)) > MOST:
            raise _too_many()
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "operations", _outer(steps))

    def shapes(self) -> tuple[Shape, ...]:
        """The shape after every operation of the outer row."""
        return tuple(step.output for step in self.steps if "." not in step.place)

    @property
    def output_shape(self) -> Shape:
        """What comes out."""
        return (self.input_shape, *self.shapes())[-1]

    def parameter_shapes(self) -> dict[str, Shape]:
        """Every parameter by its name, "0.weight", in order."""
        named = ((step, step.operation.parameters(step.input)) for step in self.steps)
        return {f"{step.place}.{name}": shape for step, own in named for name, shape in own.items()}

    def buffer_shapes(self) -> dict[str, Shape]:
        """Every buffer by its name, "1.running_mean", in order."""
        named = ((step, step.operation.buffers(step.input)) for step in self.steps)
        return {f"{step.place}.{name}": shape for step, own in named for name, shape in own.items()}

    def as_dict(self) -> dict[str, Any]:
        """The network as JSON has it: {"input_shape": [1, 8, 8], "operations": [{"kind": "conv", ...}, ...]}."""
        rows = [operation_as_dict(operation) for operation in self.operations]
        return {"input_shape": list(self.input_shape), "operations": rows}

    @classmethod
    def from_dict(cls, data: Any) -> "Network":
        """The network of `as_dict`.

        Raises:
            ConfigError: an unknown kind or key (the nearest is named), a missing one, a value of the wrong type.
        """
        if not isinstance(data, Mapping):
            fix = '{"input_shape": [1, 8, 8], "operations": [{"kind": "flatten"}]}'
            raise ConfigError("network", "the description", "a table", got=brief(data), fix=fix)
        _keys("network", data, ("input_shape", "operations"), ())
        shape, rows = _tuples(data["input_shape"]), data["operations"]
        _typed("network", "input_shape", shape, Shape)
        if not isinstance(rows, list | tuple):
            raise ConfigError("network", "operations", "a list", got=brief(rows), fix='[{"kind": "flatten"}]')
        _count(rows)
        return cls(shape, tuple(operation_from_dict(row, f"operation {i}") for i, row in enumerate(rows)))


def _count(rows: Any) -> None:
    """Refuse more than `MOST` operations and branches before the first is made."""
    waiting, seen = list(rows), 0
    while waiting:
        entry = waiting.pop()
        seen += 1
        if seen > MOST:
            raise _too_many()
        inner = entry.get("branches") if isinstance(entry, Mapping) else entry
        waiting += inner if isinstance(inner, list | tuple) else ()


def _too_many() -> ConfigError:
    fix = "describe a smaller network"
    return ConfigError("network", "operations and branches", f"{MOST} at most", got="more", fix=fix)


KINDS: dict[str, type[Operation]] = {
    operation.kind: operation
    for operation in (
        Conv,
        ConvTranspose,
        MaxPool,
        MeanPool,
        LpPool,
        StochasticPool,
        AdaptiveMeanPool,
        AdaptiveMaxPool,
        Activation,
        PReLU,
        Maxout,
        Softmax,
        Linear,
        Flatten,
        Dropout,
        BatchNorm,
        LocalResponseNorm,
        ChannelShuffle,
        Branches,
    )
}


def operation_as_dict(operation: Operation) -> dict[str, Any]:
    """An operation as JSON has it, every field written out.

    >>> operation_as_dict(Linear(10))
    {'kind': 'linear', 'out_features': 10, 'bias': True}
    """
    if isinstance(operation, Branches):
        rows = [[operation_as_dict(inner) for inner in branch] for branch in operation.branches]
        return {"kind": operation.kind, "branches": rows, "join": operation.join}
    values = {own.name: _lists(getattr(operation, own.name)) for own in fields(operation)}  # type: ignore[arg-type]
    return {"kind": operation.kind, **values}


def operation_from_dict(data: Any, where: str, depth: int = 0) -> Operation:
    """The operation of `operation_as_dict`, within `depth` branches; fields with a default may be left out.

    Raises:
        ConfigError: what `Network.from_dict` refuses.
    """
    _shallow(where, depth)
    if not isinstance(data, Mapping) or "kind" not in data:
        raise ConfigError(where, "an operation", 'a table with "kind"', got=brief(data), fix='{"kind": "flatten"}')
    _typed(where, "kind", data["kind"], str)
    one_of(where, "kind", data["kind"], tuple(KINDS))
    kind = KINDS[data["kind"]]
    where = f"{where} ({kind.kind})"
    own = {f.name: f.default for f in fields(kind)}  # type: ignore[arg-type]
    required = tuple(f.name for f in fields(kind) if f.default is f.default_factory)  # type: ignore[arg-type]  # MISSING
    given = {name: value for name, value in data.items() if name != "kind"}
    _keys(where, given, required, tuple(own))
    if kind is Branches:
        return _branches_from_dict(given, where, depth + 1)
    values = {name: _tuples(value) for name, value in given.items()}
    hints = get_type_hints(kind)
    for name, value in values.items():
        _typed(where, name, value, hints[name])
    return _named(where, partial(kind, **values))


def _branches_from_dict(given: Mapping[str, Any], where: str, depth: int) -> Branches:
    rows = given["branches"]
    if not isinstance(rows, list | tuple) or not all(isinstance(row, list | tuple) for row in rows):
        fix = '[[], [{"kind": "conv", ...}]]: an empty list is the identity'
        raise ConfigError(where, "branches", "a list of lists", got=brief(rows), fix=fix)
    branches = tuple(
        tuple(operation_from_dict(inner, f"{where}, branch {b}, operation {i}", depth) for i, inner in enumerate(row))
        for b, row in enumerate(rows)
    )
    _typed(where, "join", given.get("join", JOINS[0]), str)
    return _named(where, partial(Branches, branches, given.get("join", JOINS[0])))


def _keys(where: str, data: Mapping[str, Any], required: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Refuse unknown keys and missing ones."""
    every = (*required, *known)
    for name in data:
        if name not in every:
            near = get_close_matches(str(name), every, n=1)
            fix = f"did you mean {near[0]!r}?" if near else "leave it out"
            must = f"one of {', '.join(dict.fromkeys(every))}" if every else '"kind", for it takes no other'
            raise ConfigError(where, "every key", must, got=brief(name), fix=fix)
    for name in required:
        if name not in data:
            raise ConfigError(where, name, "given", got="nothing", fix=f"add {name}")


def _typed(where: str, name: str, value: Any, hint: Any) -> None:
    if not _fits(value, hint):
        plain = hint.__name__ if type(hint) is type else str(hint).replace("...", "…")
        raise ConfigError(where, name, f"of type {plain}", got=brief(value), fix=f"give {name} as {plain}")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type as the fields here are annotated: plain types, unions and tuples of them."""
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, choice) for choice in get_args(hint))
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        if not isinstance(value, tuple):
            return False
        if inner[-1] is Ellipsis:
            return all(_fits(entry, inner[0]) for entry in value)
        return len(value) == len(inner) and all(_fits(*pair) for pair in zip(value, inner, strict=True))
    return type(value) is hint  # a bool is no int here


def _tuples(value: Any, depth: int = 3) -> Any:
    """Lists as tuples, as deep as fields go; what is deeper stays a list, which fits no field."""
    return tuple(_tuples(entry, depth - 1) for entry in value) if isinstance(value, list | tuple) and depth else value


def _lists(value: Any) -> Any:
    return [_lists(entry) for entry in value] if isinstance(value, tuple) else value
