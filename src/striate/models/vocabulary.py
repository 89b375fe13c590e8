"""The words of the text notation: one table from names to operations and their fields.

An operation is a name, its values in order, and options in any order:

    conv 32 3x3 stride 2 nobias        ->  Conv(out_channels=32, kernel_size=(3, 3), stride=2, bias=False)

A line of `WORDS` adds an operation to the notation.  Capitals and underscores make no difference, and torch's 1d, 2d
or 3d may stand behind a name, which is then held to that rank.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

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
    Softmax,
)
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
from striate.models.values import Value


@dataclass(frozen=True, slots=True)
class Word:
    """An operation as the notation has it.

    Args:
        operation: its description.
        example: how one writes it.
        values: the fields that stand behind the name as mere values, in order.
        options: name of an option -> the field whose value stands behind it.
        flags: a name that stands alone -> the field and what it says of it.
        fixed: the fields that the name itself says.
    """

    operation: type[Operation]
    example: str
    values: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, tuple[str, Value]] = field(default_factory=dict)
    fixed: Mapping[str, Value] = field(default_factory=dict)


STRIDE, PAD, DILATION, GROUPS = {"stride": "stride"}, {"pad": "padding"}, {"dilation": "dilation"}, {"groups": "groups"}
CEIL: Mapping[str, tuple[str, Value]] = {"ceil": ("ceil_mode", True)}
NO_BIAS: Mapping[str, tuple[str, Value]] = {"nobias": ("bias", False)}
NOT_COUNTED: Mapping[str, tuple[str, Value]] = {"exclude_pad": ("count_include_pad", False)}
RULES: Mapping[str, tuple[str, Value]] = {rule: ("padding", rule) for rule in ("same", "full", "valid")}
BORDERS: Mapping[str, tuple[str, Value]] = {
    border: ("padding_mode", border) for border in ("reflect", "replicate", "circular")
}
FLIP: Mapping[str, tuple[str, Value]] = {"flip": ("flip_kernel", True)}


WORDS: Mapping[str, Word] = {
    "conv": Word(
        Conv,
        "conv 32 3x3 same",
        ("out_channels", "kernel_size"),
        STRIDE | PAD | DILATION | GROUPS,
        {**RULES, **NO_BIAS, **BORDERS, **FLIP},
    ),
    "convtranspose": Word(
        ConvTranspose,
        "convtranspose 16 2x2 stride 2",
        ("out_channels", "kernel_size"),
        STRIDE | PAD | {"output_pad": "output_padding"} | DILATION | GROUPS,
        NO_BIAS,
    ),
    "maxpool": Word(MaxPool, "maxpool 3 stride 2", ("kernel_size",), STRIDE | PAD | DILATION, CEIL),
    "avgpool": Word(MeanPool, "avgpool 2", ("kernel_size",), STRIDE | PAD, {**CEIL, **NOT_COUNTED}),
    "lppool": Word(LpPool, "lppool 2 3x3", ("norm_type", "kernel_size"), STRIDE, CEIL),
    "stochasticpool": Word(StochasticPool, "stochasticpool 2", ("kernel_size",), STRIDE, CEIL),
    "globalavgpool": Word(AdaptiveMeanPool, "globalavgpool", fixed={"output_size": 1}),
    "adaptiveavgpool": Word(AdaptiveMeanPool, "adaptiveavgpool 7x7", ("output_size",)),
    "globalmaxpool": Word(AdaptiveMaxPool, "globalmaxpool", fixed={"output_size": 1}),
    "adaptivemaxpool": Word(AdaptiveMaxPool, "adaptivemaxpool 7x7", ("output_size",)),
    "relu": Word(Activation, "relu", fixed={"name": "relu"}),
    "leaky_relu": Word(
        Activation, "leaky_relu slope 0.2", options={"slope": "negative_slope"}, fixed={"name": "leaky_relu"}
    ),
    "elu": Word(Activation, "elu alpha 0.5", options={"alpha": "alpha"}, fixed={"name": "elu"}),
    "swish": Word(Activation, "swish", fixed={"name": "swish"}),
    "gelu": Word(Activation, "gelu", fixed={"name": "gelu"}),
    "tanh": Word(Activation, "tanh", fixed={"name": "tanh"}),
    "scaled_tanh": Word(Activation, "scaled_tanh", fixed={"name": "scaled_tanh"}),
    "sigmoid": Word(Activation, "sigmoid", fixed={"name": "sigmoid"}),
    "hard_limit": Word(Activation, "hard_limit", fixed={"name": "hard_limit"}),
    "identity": Word(Activation, "identity", fixed={"name": "linear"}),
    "prelu": Word(PReLU, "prelu 64", ("num_parameters",), {"init": "init"}),
    "maxout": Word(Maxout, "maxout 2", ("pieces",)),
    "softmax": Word(Softmax, "softmax"),
    "linear": Word(Linear, "linear 10", ("out_features",), flags=NO_BIAS),
    "flatten": Word(Flatten, "flatten"),
    "dropout": Word(Dropout, "dropout 0.5", ("p",)),
    "bn": Word(BatchNorm, "bn", options={"eps": "eps", "momentum": "momentum"}),
    "lrn": Word(LocalResponseNorm, "lrn 5 k 2", ("size",), {"alpha": "alpha", "beta": "beta", "k": "k"}),
    "shuffle": Word(ChannelShuffle, "shuffle 4", ("groups",)),
}
JOINS: Mapping[str, str] = {"concat": "concatenate", "add": "add"}  # brackets with rows in them
RESIDUAL = "residual"  # residual(row) is add(row | )
INPUT = "input"
ALIASES: Mapping[str, str] = {  # what one may write -> what it is called here
    "deconv": "convtranspose",
    "meanpool": "avgpool",
    "adaptivemeanpool": "adaptiveavgpool",
    "globalmeanpool": "globalavgpool",
    "silu": "swish",
    "dense": "linear",
    "fc": "linear",
    "batchnorm": "bn",
    "localresponsenorm": "lrn",
    "channelshuffle": "shuffle",
    "concatenate": "concat",
    "cat": "concat",
}
OPTION_ALIASES: Mapping[str, str] = {  # torch's spelling -> the one here
    "padding": "pad",
    "output_padding": "output_pad",
    "negative_slope": "slope",
    "ceil_mode": "ceil",
    "flip_kernel": "flip",
}
NAMES = (*WORDS, *JOINS, RESIDUAL, INPUT)


def squeezed(name: str) -> str:
    """A name without what makes no difference.

    >>> squeezed("Leaky_ReLU")
    'leakyrelu'
    """
    return name.lower().replace("_", "")


_NAMES = {squeezed(name): name for name in NAMES} | {squeezed(name): known for name, known in ALIASES.items()}
_OPTIONS = {squeezed(name): name for word in WORDS.values() for name in (*word.options, *word.flags)}
_OPTIONS |= {squeezed(name): known for name, known in OPTION_ALIASES.items()}


class Known(NamedTuple):
    """What a name means: its canonical spelling, and the rank that torch's ending holds it to."""

    name: str
    axes: int | None


def known_name(written: str) -> Known | None:
    """What a name means, None where it means nothing.

    >>> known_name("BatchNorm2d"), known_name("dense"), known_name("lenet5")
    (Known(name='bn', axes=2), Known(name='linear', axes=None), None)
    """
    short = squeezed(written)
    if short in _NAMES:
        return Known(_NAMES[short], None)
    ending = re.fullmatch(r"(\w+)([123])d", short)
    if ending and _NAMES.get(ending[1]) in WORDS:
        return Known(_NAMES[ending[1]], int(ending[2]))
    return None


def known_option(written: str) -> str:
    """The canonical spelling of an option, or what was written."""
    return _OPTIONS.get(squeezed(written), written)


def word_of(operation: Operation) -> tuple[str, Word]:
    """The name that says most about an operation, and its word.

    >>> word_of(AdaptiveMeanPool(1))[0], word_of(AdaptiveMeanPool(7))[0]
    ('globalavgpool', 'adaptiveavgpool')
    """
    fitting = (
        (name, word)
        for name, word in WORDS.items()
        if word.operation is type(operation)
        and all(getattr(operation, own) == value for own, value in word.fixed.items())
    )
    return max(fitting, key=lambda pair: len(pair[1].fixed))
