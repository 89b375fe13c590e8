"""Operations of a network as data: what each is told, and which shape it makes of which.

An operation is a frozen dataclass whose fields are torch's arguments, with torch's defaults.  Sizes that the input
decides are not among them: a convolution has `out_channels` but no `in_channels`, and 1, 2 or 3 axes as its input has.
A shape is that of one sample, without the batch: (C, H, W), (C, W), (C, D, H, W) or (F,).

This file: the operations that work number by number or on vectors.  `windowed.py`: convolution and pooling.
`network.py`: branches and whole networks.  Nothing here computes: `calculus/` does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import prod
from sys import float_info
from typing import ClassVar

from striate.base.errors import ConfigError
from striate.base.shapes import LIMIT

Shape = tuple[int, ...]
Number = int | float
ACTIVATIONS = (
    "linear",
    "hard_limit",
    "sigmoid",
    "tanh",
    "scaled_tanh",
    "relu",
    "leaky_relu",
    "elu",
    "swish",
    "gelu",
)


def written(shape: Shape) -> str:
    """A shape as one writes it.

    >>> written((16, 5, 5)), written((10,))
    ('16x5x5', '10')
    """
    return "x".join(map(str, shape))


def positive(where: str, name: str, value: int) -> None:
    """Refuse a count below 1, or above `LIMIT`."""
    if value < 1:
        raise ConfigError(where, name, ">= 1", got=value, fix="use 1 or more")
    if value > LIMIT:
        raise ConfigError(where, name, f"<= {LIMIT}", got=value, fix="use fewer")


def within(where: str, name: str, value: Number, low: Number, high: Number = float_info.max) -> None:
    """Refuse a number outside [low, high], not-a-number included.

    Without `high`: any finite number from `low`.
    """
    if not low <= value <= high:
        must = f"finite and >= {low}" if high == float_info.max else f"in [{low}, {high}]"
        raise ConfigError(where, name, must, got=value, fix="leave it out for the usual value")


def finite(where: str, name: str, value: Number) -> None:
    """Refuse infinity and not-a-number."""
    if not abs(value) <= float_info.max:
        raise ConfigError(where, name, "finite", got=value, fix="leave it out for the usual value")


def divisors(n: int) -> list[int]:
    """The divisors of n up to 64: errors name these alone, so that a number without end costs no time.

    >>> divisors(12), divisors(10**12)[-3:]
    ([1, 2, 3, 4, 6, 12], [40, 50, 64])
    """
    return [d for d in range(1, min(n, 64) + 1) if n % d == 0]


def one_of(where: str, what: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a name that is none of the choices, naming the nearest."""
    if value not in choices:
        near = get_close_matches(value, choices, n=1)
        fix = f"did you mean {near[0]!r}?" if near else f"use {choices[0]}"
        raise ConfigError(where, what, f"one of {', '.join(choices)}", got=repr(value), fix=fix)


class Operation:
    """What every operation answers; by itself the operation that changes no shape and has nothing to learn."""

    kind: ClassVar[str] = "operation"

    def shape(self, x: Shape) -> Shape:
        """The output's shape for an input's.

        Raises:
            ConfigError: the input does not fit, with the value that would.
        """
        return x

    def parameters(self, x: Shape) -> Mapping[str, Shape]:  # noqa: ARG002 - those that learn need it
        """What is learnt, by torch's names and in torch's order, for an input of shape x."""
        return {}

    def buffers(self, x: Shape) -> Mapping[str, Shape]:  # noqa: ARG002 - the same
        """What is kept from step to step without being learnt."""
        return {}

    def canonical(self, x: Shape) -> "Operation":  # noqa: ARG002 - those with sizes need it
        """The same operation as a network keeps it, of the several ways to say it; x is an input that fits."""
        return self

    def refuse(self, must: str, x: Shape, fix: str) -> ConfigError:
        """The error for an input of shape x."""
        return ConfigError(self.kind, "the input", must, got=written(x), fix=fix)


_OWN = {"negative_slope": ("leaky_relu", 0.01), "alpha": ("elu", 1.0)}  # option -> whose it is, and the usual value


@dataclass(frozen=True, slots=True)
class Activation(Operation):
    """A function of each number.

    Args:
        name: one of `ACTIVATIONS`.
        negative_slope: of leaky_relu alone: the slope below 0.
        alpha: of elu alone: what it levels out at below 0, negated.

    Raises:
        ConfigError: no such function, or an option that is not its own.
    """

    kind: ClassVar[str] = "activation"
    name: str
    negative_slope: Number = 0.01
    alpha: Number = 1.0

    def __post_init__(self) -> None:
        one_of(self.kind, "name", self.name, ACTIVATIONS)
        for option, (owner, usual) in _OWN.items():
            value = getattr(self, option)
            finite(self.kind, option, value)
            if value != usual and self.name != owner:
                fix = f"it is an option of {owner} alone"
                raise ConfigError(self.kind, option, f"left out for {self.name}", got=value, fix=fix)


@dataclass(frozen=True, slots=True)
class PReLU(Operation):
    """Leaky ReLU whose slope is learnt, one for all (1) or one for each channel."""

    kind: ClassVar[str] = "prelu"
    num_parameters: int = 1
    init: Number = 0.25

    def __post_init__(self) -> None:
        positive(self.kind, "num_parameters", self.num_parameters)
        finite(self.kind, "init", self.init)

    def shape(self, x: Shape) -> Shape:
        """The same."""
        if self.num_parameters not in (1, x[0]):
            several = f" or {x[0]}" if x[0] > 1 else ""
            raise self.refuse(f"of {self.num_parameters} channels", x, f"use num_parameters 1{several}")
        return x

    def parameters(self, x: Shape) -> Mapping[str, Shape]:  # noqa: ARG002
        """The slopes."""
        return {"weight": (self.num_parameters,)}


@dataclass(frozen=True, slots=True)
class Maxout(Operation):
    """The largest of every `pieces` neighbouring channels: (C pieces, ...) -> (C, ...)."""

    kind: ClassVar[str] = "maxout"
    pieces: int

    def __post_init__(self) -> None:
        positive(self.kind, "pieces", self.pieces)

    def shape(self, x: Shape) -> Shape:
        """The channels divided by the pieces."""
        if x[0] % self.pieces:
            more = (x[0] // self.pieces + 1) * self.pieces
            fix = f"give {more} channels before it, or use pieces {_divisors(x[0])}"
            raise self.refuse(f"a multiple of {self.pieces} channels", x, fix)
        return x[0] // self.pieces, *x[1:]


@dataclass(frozen=True, slots=True)
class Softmax(Operation):
    """Probabilities over the channels, which of a vector are its numbers."""

    kind: ClassVar[str] = "softmax"


@dataclass(frozen=True, slots=True)
class Linear(Operation):
    """Every output a weighted sum of all inputs: (I,) -> (out_features,)."""

    kind: ClassVar[str] = "linear"
    out_features: int
    bias: bool = True

    def __post_init__(self) -> None:
        positive(self.kind, "out_features", self.out_features)

    def shape(self, x: Shape) -> Shape:
        """(out_features,)."""
        if len(x) != 1:
            fix = f"put flatten before it, which makes {written(x)} a vector of {prod(x)}"
            raise self.refuse("a vector", x, fix)
        return (self.out_features,)

    def parameters(self, x: Shape) -> Mapping[str, Shape]:
        """(O, I) weights, and O biases."""
        return {"weight": (self.out_features, x[0])} | ({"bias": (self.out_features,)} if self.bias else {})


@dataclass(frozen=True, slots=True)
class Flatten(Operation):
    """All axes of a sample in one, the last running fastest."""

    kind: ClassVar[str] = "flatten"

    def shape(self, x: Shape) -> Shape:
        """One axis."""
        return (prod(x),)


@dataclass(frozen=True, slots=True)
class Dropout(Operation):
    """Inverted dropout in training; p is the share dropped."""

    kind: ClassVar[str] = "dropout"
    p: Number = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ConfigError(self.kind, "p", "a probability in [0, 1]", got=self.p, fix="0.5 is usual")


@dataclass(frozen=True, slots=True)
class BatchNorm(Operation):
    """Mean 0 and variance 1 for every channel, then a scale and a shift that are learnt."""

    kind: ClassVar[str] = "batch_norm"
    eps: Number = 1e-5
    momentum: Number = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.eps <= float_info.max:
            raise ConfigError(self.kind, "eps", "> 0 and finite", got=self.eps, fix="1e-5 is usual")
        within(self.kind, "momentum", self.momentum, 0, 1)

    def parameters(self, x: Shape) -> Mapping[str, Shape]:
        """A scale and a shift a channel."""
        return {"weight": x[:1], "bias": x[:1]}

    def buffers(self, x: Shape) -> Mapping[str, Shape]:
        """Running mean and variance of every channel."""
        return {"running_mean": x[:1], "running_var": x[:1]}


@dataclass(frozen=True, slots=True)
class LocalResponseNorm(Operation):
    """Each number divided by a power of its neighbours' energy across channels.

    Args:
        size: channels of a neighbourhood.
        alpha: torch's, the coefficient of the mean of squares; the paper's is `size` times smaller.
        beta: exponent.
        k: what is added to the mean.
    """

    kind: ClassVar[str] = "local_response_norm"
    size: int
    alpha: Number = 1e-4
    beta: Number = 0.75
    k: Number = 1.0

    def __post_init__(self) -> None:
        positive(self.kind, "size", self.size)
        within(self.kind, "alpha", self.alpha, 0)
        within(self.kind, "beta", self.beta, 0)
        within(self.kind, "k", self.k, 0)


@dataclass(frozen=True, slots=True)
class ChannelShuffle(Operation):
    """The channels of every group dealt out over all groups."""

    kind: ClassVar[str] = "channel_shuffle"
    groups: int

    def __post_init__(self) -> None:
        positive(self.kind, "groups", self.groups)

    def shape(self, x: Shape) -> Shape:
        """The same."""
        if x[0] % self.groups:
            raise self.refuse(f"a multiple of {self.groups} channels", x, f"use groups {_divisors(x[0])}")
        return x


def _divisors(n: int) -> str:
    *most, last = map(str, divisors(n))
    return f"{', '.join(most)} or {last}" if most else last
