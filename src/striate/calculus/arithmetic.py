"""One number of a network with all its arithmetic: which numbers it is made of, and how.

    arithmetic(operation, x, at)                         y[at]:       inputs, weights, products, sums, bias, result
    input_gradient(operation, dy, x, at)                 dL/dx[at]:   the errors that meet there, and their slopes
    parameter_gradient(operation, dy, x, name, at)       dL/dw[at]

They are for one number at a time, in Python floats, to be read with a pencil; the formulas that run are each
operation's own, and the tests hold the two against each other.  `ARITHMETIC` names what there is for each operation.
Sources: those of each operation's own file.

`python -m striate.calculus.arithmetic` shows one number of a convolution, forward and backward.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from striate.base.errors import ConfigError
from striate.base.network import Branches
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
from striate.calculus import arithmetic_channels as channels
from striate.calculus import arithmetic_conv as weighted
from striate.calculus.arithmetic_pool import pool_dx, pool_output
from striate.calculus.steps import Given
from striate.calculus.terms import Arithmetic as Arithmetic
from striate.calculus.terms import At
from striate.calculus.terms import Term as Term

Input = Tensor | tuple[Tensor, ...]  # several: what the branches ended with
EVALUATION = Given()


@dataclass(frozen=True, slots=True)
class Explained:
    """The functions that take one operation apart; those without parameters have no third."""

    output: Callable[[Any, Any, At, Given], Arithmetic]
    input_gradient: Callable[[Any, Tensor, Any, At, Given], Arithmetic]
    parameter_gradient: Callable[[Any, Tensor, Tensor, str, At, Given], Arithmetic] | None = None


POOL = Explained(pool_output, pool_dx)
ARITHMETIC: dict[type[Operation], Explained] = {
    Conv: Explained(
        weighted.conv_output,
        weighted.conv_dx,
        lambda o, dy, x, name, at, _: weighted.conv_dparameter(o, dy, x, name, at),
    ),
    ConvTranspose: Explained(
        weighted.transpose_output,
        weighted.transpose_dx,
        lambda o, dy, x, name, at, _: weighted.transpose_dparameter(o, dy, x, name, at),
    ),
    Linear: Explained(
        weighted.linear_output,
        weighted.linear_dx,
        lambda o, dy, x, name, at, _: weighted.linear_dparameter(o, dy, x, name, at),
    ),
    MaxPool: POOL,
    MeanPool: POOL,
    LpPool: POOL,
    StochasticPool: POOL,
    AdaptiveMeanPool: POOL,
    AdaptiveMaxPool: POOL,
    Activation: Explained(channels.activation_output, channels.activation_dx),
    PReLU: Explained(
        channels.prelu_output,
        channels.prelu_dx,
        lambda o, dy, x, name, at, _: channels.prelu_dparameter(o, dy, x, name, at),
    ),
    Maxout: Explained(channels.maxout_output, channels.maxout_dx),
    Softmax: Explained(channels.softmax_output, channels.softmax_dx),
    BatchNorm: Explained(channels.batch_norm_output, channels.batch_norm_dx, channels.batch_norm_dparameter),
    LocalResponseNorm: Explained(channels.lrn_output, channels.lrn_dx),
    Dropout: Explained(channels.dropout_output, channels.dropout_dx),
    Flatten: Explained(channels.flatten_output, channels.flatten_dx),
    ChannelShuffle: Explained(channels.shuffle_output, channels.shuffle_dx),
    Branches: Explained(channels.join_output, channels.join_dx),
}


@torch.no_grad()
def arithmetic(operation: Operation, x: Input, at: At, given: Given = EVALUATION) -> Arithmetic:
    """How one output number comes about.

    Args:
        operation: what is done.
        x: its input, batch first; for branches, what each of them ended with.
        at: which number of the output: (b, c, ...).
        given: its parameters and buffers by their short names, and the step of training; a `Record` of the explicit
            network has them as `record.given`.

    Raises:
        ConfigError: the index lies outside the output.

    >>> x, w = torch.tensor([[[1.0, 2.0, 4.0]]]), torch.tensor([[[1.0, -1.0]]])
    >>> print(arithmetic(Conv(1, 2, bias=False), x, (0, 0, 1), Given({"weight": w})))
    y[b,o,m] = bias[o] + sum over i, k of weight[o,i,k] x[b,i,s m + d k - before]
      x[0, 0, 1] 2  × weight[0, 0, 0] 1 = 2
      x[0, 0, 2] 4  × weight[0, 0, 1] -1 = -4
      sum: the terms = -2
    = -2
    """
    _check_index("arithmetic", at, _output_shape(operation, x))
    return ARITHMETIC[type(operation)].output(operation, x, at, given)


@torch.no_grad()
def input_gradient(operation: Operation, dy: Tensor, x: Input, at: At, given: Given = EVALUATION) -> Arithmetic:
    """How one number of dL/dx comes about, from the errors dy of the outputs.

    Args:
        operation: what was done.
        dy: dL/dy.
        x: the input, as in `arithmetic`.
        at: which number of x: (b, c, ...); for branches (branch, b, c, ...).
        given: as in `arithmetic`.

    Raises:
        ConfigError: the index lies outside the input.
    """
    if isinstance(x, tuple):
        shapes = [tuple(end.shape) for end in x]
        _check_index("input_gradient", at, (len(x), *(shapes[at[0]] if 0 <= at[0] < len(x) else shapes[0])))
    else:
        _check_index("input_gradient", at, tuple(x.shape))
    return ARITHMETIC[type(operation)].input_gradient(operation, dy, x, at, given)


@torch.no_grad()
def parameter_gradient(
    operation: Operation, dy: Tensor, x: Tensor, name: str, at: At, given: Given = EVALUATION
) -> Arithmetic:
    """How one number of a parameter's gradient comes about; `name` is "weight" or "bias", `at` its index there.

    Raises:
        ConfigError: the operation has no such parameter, or the index lies outside it.
    """
    shapes = operation.parameters(tuple(x.shape[1:]))
    if name not in shapes:
        fix = f"ask for {' or '.join(shapes)}" if shapes else "it has nothing to learn: ask for input_gradient"
        raise ConfigError(operation.kind, "the parameter", "one of its own", got=repr(name), fix=fix)
    _check_index("parameter_gradient", at, shapes[name])
    explain = ARITHMETIC[type(operation)].parameter_gradient
    assert explain is not None
    return explain(operation, dy, x, name, at, given)


def _output_shape(operation: Operation, x: Input) -> At:
    if isinstance(operation, Branches):
        assert isinstance(x, tuple)
        return len(x[0]), *operation.joined([tuple(end.shape[1:]) for end in x])
    assert isinstance(x, Tensor)
    return len(x), *operation.shape(tuple(x.shape[1:]))


def _check_index(where: str, at: At, shape: At) -> None:
    if len(at) != len(shape) or not all(0 <= i < n for i, n in zip(at, shape, strict=True)):
        fix = f"count from 0, up to {tuple(n - 1 for n in shape)}"
        raise ConfigError(where, "the index", f"within {'x'.join(map(str, shape))}", got=at, fix=fix)


def demonstrate() -> str:
    """A corner of a padded convolution over two channels: the output, dL/dx and dL/dweight at one place."""
    operation = Conv(1, 2, padding=((1, 0), (1, 0)))
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [1.0, 0.0]]]])
    given = Given(
        {"weight": torch.tensor([[[[1.0, 0.0], [2.0, -1.0]], [[0.0, 3.0], [1.0, 1.0]]]]), "bias": torch.tensor([0.5])}
    )
    dy = torch.tensor([[[[1.0, 0.0], [0.0, -2.0]]]])
    return "\n\n".join(
        [
            "ONE OUTPUT   y[0, 0, 0, 1]",
            str(arithmetic(operation, x, (0, 0, 0, 1), given)),
            "ONE NUMBER OF dL/dx   at [0, 0, 0, 0]",
            str(input_gradient(operation, dy, x, (0, 0, 0, 0), given)),
            "ONE NUMBER OF dL/dweight   at [0, 1, 1, 1]",
            str(parameter_gradient(operation, dy, x, "weight", (0, 1, 1, 1), given)),
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
