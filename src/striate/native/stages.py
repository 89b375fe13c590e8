"""A network's operations as the fused stages that the native engine runs.

    conv, its activation, 2x2 max pooling          one loop nest: the pooling's four pixels stay in registers
    any other operation and its activation         one stage
    flatten, dropout of nothing                    no stage: the numbers lie in that order already

An activation may stand before a max pooling or after it, for all that are here never fall as x grows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from striate.base.errors import ConfigError
from striate.base.network import Network, Step
from striate.base.operations import Activation, BatchNorm, Dropout, Flatten, Linear, Operation, Shape, written
from striate.base.padding import Pair, resolve
from striate.base.shapes import per_axis
from striate.base.windowed import AdaptiveMeanPool, Conv, MaxPool, MeanPool

FUNCTIONS = ("linear", "relu", "leaky_relu", "elu", "sigmoid", "tanh", "scaled_tanh")  # in the order of activation.h
KINDS = (Conv, MaxPool, MeanPool, AdaptiveMeanPool, Activation, BatchNorm, Linear, Dropout)
POINTS = 6  # along each axis of a tile of winograd.h
# What a tile's way to those points and back costs for a channel, in multiplications, for each size of kernel; and how
# much has to be saved: chosen by timing both ways on AVX2, 1 to 64 channels on maps of 8 and 28 pixels.
TRANSFORM = {3: 200, 5: 150}
GAIN = 1.4
Sizes2 = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Fused:
    """One stage.

    Args:
        place: of its operation in the network, "3".
        operation: what it does.
        input: (C, H, W) of what it reads.
        output: (C, H, W) of what it makes.
        activation: what is done to every number that it makes.
        pooled: whether the largest of 2x2 is taken in between.
        inner: (H, W) before that pooling.
        border: rows and columns of zeros (before, after) around what it reads.
        axes: of space, 0 to 2; those that are lacking are of size 1.
        stream: of dropout: its number among the layers that draw.
    """

    place: str
    operation: Operation
    input: Shape
    output: Shape
    activation: Activation = Activation("linear")  # noqa: RUF009 - it is frozen
    pooled: bool = False
    inner: Sizes2 = (0, 0)
    border: tuple[Pair, Pair] = ((0, 0), (0, 0))
    axes: int = 2
    stream: int = 0

    def __str__(self) -> str:
        return f"{self.place:>3}  {' + '.join(self.names()):<32} {written(self.input):>12} -> {written(self.output)}"

    @property
    def tile(self) -> int:
        """The side of the tiles in which winograd.h makes a convolution's outputs, where that is faster; else 0."""
        conv = self.operation
        if not isinstance(conv, Conv) or self.axes != 2 or conv.groups != 1:
            return 0
        kernel, stride, dilation = (
            per_axis("option", value, 2, where="conv") for value in (conv.kernel_size, conv.stride, conv.dilation)
        )
        if kernel[0] != kernel[1] or kernel[0] not in TRANSFORM or stride != (1, 1) or dilation != (1, 1):
            return 0
        (size, _), ins, outs = kernel, self.input[0], self.output[0]
        side = POINTS + 1 - size
        high, wide = self.inner if self.pooled else self.output[1:]
        plain = size**2 * ins * outs * high * wide
        tiled = (POINTS**2 * ins * outs + TRANSFORM[size] * (ins + outs)) * -(-high // side) * -(-wide // side)
        return side if plain > GAIN * tiled else 0

    def names(self) -> list[str]:
        """What it does at once: "conv", "max 2x2", "relu"."""
        if isinstance(self.operation, Activation):
            return [self.activation.name]
        names = [self.operation.kind]
        names += ["max 2x2"] if self.pooled else []
        return names + ([self.activation.name] if self.activation.name != "linear" else [])


def fuse(network: Network) -> tuple[Fused, ...]:
    """The stages of a network.

    Raises:
        ConfigError: an operation that the engine does not have, by its place.
    """
    steps = [step for step in network.steps if not _does_nothing(step.operation)]
    drawing = [step.place for step in network.steps if isinstance(step.operation, Dropout)]
    stages: list[Fused] = []
    while steps:
        stage = _next(steps)
        stages.append(replace(stage, stream=drawing.index(stage.place)) if stage.place in drawing else stage)
    if not stages:
        raise refused("network", "an operation", "none")
    return tuple(stages)


def joined(stages: Sequence[Fused]) -> tuple[Fused, ...]:
    """The same for training, where a batch normalisation and the 2x2 max pooling that follows it are one stage.

    In evaluation a normalisation is mostly in the weights before it, and the pooling joined with those.
    """
    made: list[Fused] = []
    for stage in stages:
        before = made[-1] if made else None
        if before is None or not _pools(before, stage):
            made.append(stage)
            continue
        activation = stage.activation if before.activation.name == "linear" else before.activation
        inner = (before.output[1], before.output[2])
        made[-1] = replace(before, pooled=True, inner=inner, output=stage.output, activation=activation)
    return tuple(made)


def _pools(norm: Fused, pool: Fused) -> bool:
    """Whether a normalisation is followed by 2x2 max pooling, with one activation between them or after."""
    if not isinstance(norm.operation, BatchNorm) or norm.pooled or norm.axes != 2:
        return False
    both = "linear" in (norm.activation.name, pool.activation.name)
    return both and _halves(pool.operation, pool.input[1:], pool.output[1:])


def _does_nothing(operation: Operation) -> bool:
    return isinstance(operation, Flatten) or (isinstance(operation, Dropout) and operation.p == 0)


def refused(where: str, must: str, got: str) -> ConfigError:
    """What the engine does not have."""
    return ConfigError("native engine", where, must, got=got, fix="the torch engine runs every network")


def _next(steps: list[Step]) -> Fused:
    """The stage that the first steps make; they are taken out."""
    step = steps.pop(0)
    _check(step)
    made = Fused(step.place, step.operation, volume(step.input), volume(step.output), axes=len(step.input) - 1)
    if isinstance(step.operation, Conv):
        made = _with_pooling(replace(made, border=border_of(step)), steps)
    if isinstance(step.operation, Activation):
        return replace(made, activation=step.operation)
    if not isinstance(step.operation, Dropout) and made.activation.name == "linear" and _is_activation(steps):
        made = replace(made, activation=_activation(steps.pop(0)))
    return made


def _with_pooling(made: Fused, steps: list[Step]) -> Fused:
    """A convolution, with the activation and the pooling of 2x2 that follow it, in either order."""
    function = [steps[0]] if _is_activation(steps) else []
    after = steps[len(function) : len(function) + 1]
    if not after or not _halves(after[0].operation, after[0].input[1:], after[0].output[1:]):
        return made
    del steps[: len(function) + 1]
    activation = _activation(function[0]) if function else made.activation
    _, high, wide = made.output
    return replace(made, pooled=True, inner=(high, wide), output=volume(after[0].output), activation=activation)


def _activation(step: Step) -> Activation:
    assert isinstance(step.operation, Activation)
    return step.operation


def _is_activation(steps: Sequence[Step]) -> bool:
    return bool(steps) and isinstance(steps[0].operation, Activation) and has(steps[0].operation)


def _halves(pool: Operation, sizes: Shape, windows: Shape) -> bool:
    """Whether this is max pooling of 2x2 in steps of 2, without windows that stand over the edge."""
    if not isinstance(pool, MaxPool) or len(sizes) != 2:
        return False
    kernel = per_axis("kernel_size", pool.kernel_size, 2, where="max_pool")
    stride = kernel if pool.stride is None else per_axis("stride", pool.stride, 2, where="max_pool")
    plain = (kernel, stride, pool.padding, pool.dilation) == ((2, 2), (2, 2), 0, 1)
    return plain and windows == tuple(n // 2 for n in sizes)


def has(activation: Activation) -> bool:
    """Whether the engine has this function: it knows slopes from what came out."""
    if activation.name == "leaky_relu":
        return activation.negative_slope > 0
    return activation.name in FUNCTIONS and (activation.name != "elu" or activation.alpha > 0)


def _check(step: Step) -> None:
    """Refuse what the engine does not have."""
    operation, where = step.operation, f"operation {step.place}"
    if "." in step.place:
        raise refused(where, "in one row with the others", "one within branches")
    if not isinstance(operation, KINDS):
        raise refused(where, f"one of {', '.join(kind.kind for kind in KINDS)}", operation.kind)
    if len(step.input) > 3:
        raise refused(where, "on a map of two axes at most", written(step.input))
    if isinstance(operation, Activation) and not has(operation):
        raise refused(where, f"one of {', '.join(FUNCTIONS)}, which rise with x", operation.name)
    if isinstance(operation, Conv) and operation.padding_mode != "zeros":
        raise refused(where, "padded with zeros", operation.padding_mode)
    if isinstance(operation, Conv) and operation.flip_kernel:
        raise refused(where, "a cross-correlation", "a true convolution")


def volume(shape: Shape) -> Shape:
    """A shape with all three axes: a row of pixels is a map of height 1, a vector one of 1x1.

    >>> volume((8, 100)), volume((10,))
    ((8, 1, 100), (10, 1, 1))
    """
    channels, *sizes = shape
    return (channels, *(1,) * (2 - len(sizes)), *sizes) if sizes else (channels, 1, 1)


def border_of(step: Step) -> tuple[Pair, Pair]:
    """Zeros (before, after) that a convolution reads around its rows and columns."""
    conv, sizes = step.operation, step.input[1:]
    assert isinstance(conv, Conv)
    kernel, stride, dilation = (
        per_axis(name, value, len(sizes), where="conv")
        for name, value in (("kernel_size", conv.kernel_size), ("stride", conv.stride), ("dilation", conv.dilation))
    )
    pairs = resolve(conv.padding, sizes, kernel, stride, dilation)
    return (*((0, 0),) * (2 - len(sizes)), *pairs)  # type: ignore[return-value]
