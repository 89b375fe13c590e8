"""What one fused stage computes, in one line, with this network's own numbers."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

from striate.base.operations import Activation, BatchNorm, Dropout, Linear, Operation
from striate.base.shapes import per_axis
from striate.base.windowed import AdaptiveMeanPool, Conv, MaxPool, MeanPool
from striate.native.stages import Fused

FUNCTIONS: Mapping[str, Callable[[Activation, str], str]] = {
    "linear": lambda _, z: z,
    "relu": lambda _, z: f"max(0, {z})",
    "leaky_relu": lambda a, z: f"max(z, {a.negative_slope:g} z), z = {z}",
    "elu": lambda a, z: f"z if z > 0 else {a.alpha:g} (e^z - 1), z = {z}",
    "sigmoid": lambda _, z: f"1 / (1 + e^-({z}))",
    "tanh": lambda _, z: f"tanh({z})",
    "scaled_tanh": lambda _, z: f"1.7159 tanh(2/3 ({z}))",
}
# The files of the calculus that have an operation's formulas, forward and backward.
FILES: Mapping[type[Operation], str] = {
    Conv: "conv",
    MaxPool: "max_pool",
    MeanPool: "mean_pool",
    AdaptiveMeanPool: "adaptive_pool",
    BatchNorm: "batch_norm",
    Linear: "linear",
    Dropout: "dropout",
}


def formula(stage: Fused) -> str:
    """What a stage makes of what it reads.

    y is what it makes, x what it reads, w and b what is learnt, t a place in a window, m and v mean and variance of the
    batch, u a number that is drawn.

    >>> formula(Fused("0", Linear(10), (84, 1, 1), (10, 1, 1), Activation("relu")))
    'y = max(0, b + sum over t < 84 of w[t] x[t])'
    """
    made = _made(stage, stage.operation)
    made = f"max_2x2({made})" if stage.pooled else made
    return f"y = {FUNCTIONS[stage.activation.name](stage.activation, made)}"


def files(stage: Fused) -> tuple[str, ...]:
    """Where the calculus has it: files of `striate/calculus`."""
    names = [FILES[type(stage.operation)]] if type(stage.operation) in FILES else []
    names += ["winograd"] if stage.tile else []
    names += ["max_pool"] if stage.pooled else []
    names += ["activations"] if stage.activation.name != "linear" or not names else []
    return tuple(f"{name}.py" for name in names)


def taps(stage: Fused) -> int:
    """Numbers that one output of a convolution or a linear stage is a weighted sum of."""
    operation, channels = stage.operation, stage.input[0]
    if isinstance(operation, Conv):
        return channels // operation.groups * _window(stage, operation.kernel_size)
    return prod(stage.input)


def _made(stage: Fused, operation: Operation) -> str:
    if isinstance(operation, Conv | Linear):
        bias = "b + " if operation.bias else ""
        return f"{bias}sum over t < {taps(stage)} of w[t] x[t]"
    if isinstance(operation, MaxPool):
        return f"max over t < {_window(stage, operation.kernel_size)} of x[t]"
    if isinstance(operation, MeanPool):
        return f"mean over t < {_window(stage, operation.kernel_size)} of x[t]"
    if isinstance(operation, AdaptiveMeanPool):
        return "mean over t in the window of x[t]"
    if isinstance(operation, BatchNorm):
        return f"w (x - m) / sqrt(v + {operation.eps:g}) + b"
    if isinstance(operation, Dropout):
        return f"x / {1 - operation.p:g} if u >= {operation.p:g} else 0"
    return "x"


def _window(stage: Fused, size: Any) -> int:
    return prod(per_axis("kernel_size", size, stage.axes, where=stage.operation.kind))
