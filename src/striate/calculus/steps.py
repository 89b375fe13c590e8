"""One step of a network, forward and backward: from an operation's description to its formula.

`STEPS` maps every operation of `base/network.py` but branches to a pair

    forward(operation, x, given)          -> Made: the output, and what the way back needs
    backward(operation, dy, x, given, kept) -> Error: dL/dx, and dL/dparameter by name

Each is a few lines that hand the description's fields to the formulas of this room, and nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

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
from striate.base.random import Purpose, StepRandomness, key, uniform
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
from striate.calculus.activations import ACTIVATIONS, prelu, prelu_pullback
from striate.calculus.adaptive_pool import (
    adaptive_max_pool,
    adaptive_max_pool_pullback,
    adaptive_mean_pool,
    adaptive_mean_pool_pullback,
)
from striate.calculus.batch_norm import (
    batch_norm,
    batch_norm_evaluation_pullback,
    batch_norm_pullback,
    batch_statistics,
    update_running,
)
from striate.calculus.channel_shuffle import channel_shuffle, channel_shuffle_pullback
from striate.calculus.conv import conv, conv_pullback
from striate.calculus.conv_transpose import conv_transpose, conv_transpose_pullback
from striate.calculus.dropout import dropout, dropout_mask, dropout_pullback, sample_words
from striate.calculus.flatten import flatten, flatten_pullback
from striate.calculus.linear import linear, linear_pullback
from striate.calculus.local_response_norm import alpha_of_sum, local_response_norm, local_response_norm_pullback
from striate.calculus.lp_pool import lp_pool, lp_pool_pullback
from striate.calculus.max_pool import max_pool, max_pool_pullback
from striate.calculus.maxout import maxout, maxout_pullback
from striate.calculus.mean_pool import mean_pool, mean_pool_pullback
from striate.calculus.softmax import softmax, softmax_pullback
from striate.calculus.stochastic_pool import (
    stochastic_pool,
    stochastic_pool_mean,
    stochastic_pool_mean_pullback,
    stochastic_pool_pullback,
)

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Given:
    """What a step is given beside its input.

    Args:
        parameters: the operation's own, by torch's names.
        buffers: likewise.
        training: which step of training this is, or None in evaluation.
        stream: the operation's number among those that draw, so that no two share their draws.
    """

    parameters: Tensors = field(default_factory=dict)
    buffers: Tensors = field(default_factory=dict)
    training: StepRandomness | None = None
    stream: int = 0


@dataclass(frozen=True, slots=True)
class Made:
    """What a step makes: the output, what the way back needs, and the next buffers."""

    y: Tensor
    kept: Tensors = field(default_factory=dict)
    buffers: Tensors = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Error:
    """What comes back through a step: dL/dx, and the gradient of each parameter."""

    dx: Tensor
    parameters: Tensors = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair:
    """A step's two directions."""

    forward: Callable[[Any, Tensor, Given], Made]
    backward: Callable[[Any, Tensor, Tensor, Given, Tensors], Error]


def _conv_options(o: Conv) -> dict[str, Any]:
    options = {"stride": o.stride, "padding": o.padding, "dilation": o.dilation, "groups": o.groups}
    return {**options, "border": o.padding_mode, "flip_kernel": o.flip_kernel}


def _conv(o: Conv, x: Tensor, given: Given) -> Made:
    return Made(conv(x, given.parameters["weight"], given.parameters.get("bias"), **_conv_options(o)))


def _conv_back(o: Conv, dy: Tensor, x: Tensor, given: Given, _: Tensors) -> Error:
    dx, dweight, dbias = conv_pullback(dy, x, given.parameters["weight"], **_conv_options(o))
    return Error(dx, _with_bias(o.bias, dweight, dbias))


def _conv_transpose_options(o: ConvTranspose) -> dict[str, Any]:
    options = {"stride": o.stride, "padding": o.padding, "output_padding": o.output_padding}
    return {**options, "groups": o.groups, "dilation": o.dilation}


def _conv_transpose(o: ConvTranspose, x: Tensor, given: Given) -> Made:
    weight, bias = given.parameters["weight"], given.parameters.get("bias")
    return Made(conv_transpose(x, weight, bias, **_conv_transpose_options(o)))


def _conv_transpose_back(o: ConvTranspose, dy: Tensor, x: Tensor, given: Given, _: Tensors) -> Error:
    dx, dweight, dbias = conv_transpose_pullback(dy, x, given.parameters["weight"], **_conv_transpose_options(o))
    return Error(dx, _with_bias(o.bias, dweight, dbias))


def _linear(_: Linear, x: Tensor, given: Given) -> Made:
    return Made(linear(x, given.parameters["weight"], given.parameters.get("bias")))


def _linear_back(o: Linear, dy: Tensor, x: Tensor, given: Given, _: Tensors) -> Error:
    dx, dweight, dbias = linear_pullback(dy, x, given.parameters["weight"])
    return Error(dx, _with_bias(o.bias, dweight, dbias))


def _with_bias(bias: bool, dweight: Tensor, dbias: Tensor) -> dict[str, Tensor]:
    return {"weight": dweight, "bias": dbias} if bias else {"weight": dweight}


def _max_pool(o: MaxPool, x: Tensor, _: Given) -> Made:
    options: dict[str, Any] = {"stride": o.stride, "padding": o.padding, "dilation": o.dilation}
    y, indices = max_pool(x, o.kernel_size, ceil_mode=o.ceil_mode, **options)
    return Made(y, {"indices": indices})


def _max_pool_back(_: MaxPool, dy: Tensor, x: Tensor, __: Given, kept: Tensors) -> Error:
    return Error(max_pool_pullback(dy, kept["indices"], tuple(x.shape[2:])))


def _mean_pool_options(o: MeanPool) -> dict[str, Any]:
    options = {"stride": o.stride, "padding": o.padding, "ceil_mode": o.ceil_mode}
    return {**options, "count_include_pad": o.count_include_pad}


def _mean_pool(o: MeanPool, x: Tensor, _: Given) -> Made:
    return Made(mean_pool(x, o.kernel_size, **_mean_pool_options(o)))


def _mean_pool_back(o: MeanPool, dy: Tensor, x: Tensor, _: Given, __: Tensors) -> Error:
    return Error(mean_pool_pullback(dy, tuple(x.shape[2:]), o.kernel_size, **_mean_pool_options(o)))


def _lp_pool(o: LpPool, x: Tensor, _: Given) -> Made:
    return Made(lp_pool(x, float(o.norm_type), o.kernel_size, stride=o.stride, ceil_mode=o.ceil_mode))


def _lp_pool_back(o: LpPool, dy: Tensor, x: Tensor, _: Given, __: Tensors) -> Error:
    return Error(lp_pool_pullback(dy, x, float(o.norm_type), o.kernel_size, stride=o.stride, ceil_mode=o.ceil_mode))


def _stochastic_pool(o: StochasticPool, x: Tensor, given: Given) -> Made:
    now = given.training
    if now is None:
        return Made(stochastic_pool_mean(x, o.kernel_size, stride=o.stride, ceil_mode=o.ceil_mode))
    shape = (len(x), *o.shape(tuple(x.shape[1:])))
    draw = (now.step, given.stream)
    words = sample_words(shape, key(now.seed, Purpose.POOLING), draw, first_row=now.first_row, device=x.device)
    y, indices = stochastic_pool(x, uniform(words), o.kernel_size, stride=o.stride, ceil_mode=o.ceil_mode)
    return Made(y, {"indices": indices})


def _stochastic_pool_back(o: StochasticPool, dy: Tensor, x: Tensor, given: Given, kept: Tensors) -> Error:
    if given.training is None:
        return Error(stochastic_pool_mean_pullback(dy, x, o.kernel_size, stride=o.stride, ceil_mode=o.ceil_mode))
    return Error(stochastic_pool_pullback(dy, kept["indices"], tuple(x.shape[2:])))


def _adaptive_mean(o: AdaptiveMeanPool, x: Tensor, _: Given) -> Made:
    return Made(adaptive_mean_pool(x, o.output_size))


def _adaptive_mean_back(_: AdaptiveMeanPool, dy: Tensor, x: Tensor, __: Given, ___: Tensors) -> Error:
    return Error(adaptive_mean_pool_pullback(dy, tuple(x.shape[2:])))


def _adaptive_max(o: AdaptiveMaxPool, x: Tensor, _: Given) -> Made:
    y, indices = adaptive_max_pool(x, o.output_size)
    return Made(y, {"indices": indices})


def _adaptive_max_back(_: AdaptiveMaxPool, dy: Tensor, x: Tensor, __: Given, kept: Tensors) -> Error:
    return Error(adaptive_max_pool_pullback(dy, kept["indices"], tuple(x.shape[2:])))


def activation_options(o: Activation) -> dict[str, float]:
    """The numbers that this activation's function takes."""
    own = {"leaky_relu": {"negative_slope": o.negative_slope}, "elu": {"alpha": o.alpha}}
    return {name: float(value) for name, value in own.get(o.name, {}).items()}


def _activation(o: Activation, x: Tensor, _: Given) -> Made:
    return Made(ACTIVATIONS[o.name][0](x, **activation_options(o)))


def _activation_back(o: Activation, dy: Tensor, x: Tensor, _: Given, __: Tensors) -> Error:
    return Error(ACTIVATIONS[o.name][1](dy, x, **activation_options(o)))


def _prelu(_: PReLU, x: Tensor, given: Given) -> Made:
    return Made(prelu(x, given.parameters["weight"]))


def _prelu_back(_: PReLU, dy: Tensor, x: Tensor, given: Given, __: Tensors) -> Error:
    dx, dweight = prelu_pullback(dy, x, given.parameters["weight"])
    return Error(dx, {"weight": dweight})


def _dropout(o: Dropout, x: Tensor, given: Given) -> Made:
    now = given.training
    if now is None or o.p == 0:
        return Made(x)
    keyed = {"seed": now.seed, "layer": given.stream, "step": now.step, "first_row": now.first_row}
    mask = dropout_mask(tuple(x.shape), float(o.p), device=x.device, **keyed)
    return Made(dropout(x, mask, float(o.p)), {"mask": mask})


def _dropout_back(o: Dropout, dy: Tensor, _: Tensor, __: Given, kept: Tensors) -> Error:
    return Error(dropout_pullback(dy, kept["mask"], float(o.p)) if kept else dy)


def _batch_norm(o: BatchNorm, x: Tensor, given: Given) -> Made:
    own: dict[str, Any] = {"weight": given.parameters["weight"], "bias": given.parameters["bias"], "eps": float(o.eps)}
    running = given.buffers["running_mean"], given.buffers["running_var"]
    if given.training is None:
        return Made(batch_norm(x, *running, **own))
    batch = batch_statistics(x)
    after = update_running(running, batch, count=x[:, 0].numel(), momentum=float(o.momentum))
    return Made(batch_norm(x, *batch, **own), buffers=dict(zip(given.buffers, after, strict=True)))


def _batch_norm_back(o: BatchNorm, dy: Tensor, x: Tensor, given: Given, _: Tensors) -> Error:
    weight, eps = given.parameters["weight"], float(o.eps)
    if given.training is None:
        running = given.buffers["running_mean"], given.buffers["running_var"]
        dx, dweight, dbias = batch_norm_evaluation_pullback(dy, x, *running, weight=weight, eps=eps)
    else:
        dx, dweight, dbias = batch_norm_pullback(dy, x, weight=weight, eps=eps)
    return Error(dx, {"weight": dweight, "bias": dbias})


def lrn_options(o: LocalResponseNorm) -> dict[str, float]:
    """The numbers of torch as the formula's, whose alpha is that of the sum."""
    return {"alpha": alpha_of_sum(float(o.alpha), o.size), "beta": float(o.beta), "k": float(o.k)}


STEPS: dict[type[Operation], Pair] = {
    Conv: Pair(_conv, _conv_back),
    ConvTranspose: Pair(_conv_transpose, _conv_transpose_back),
    Linear: Pair(_linear, _linear_back),
    MaxPool: Pair(_max_pool, _max_pool_back),
    MeanPool: Pair(_mean_pool, _mean_pool_back),
    LpPool: Pair(_lp_pool, _lp_pool_back),
    StochasticPool: Pair(_stochastic_pool, _stochastic_pool_back),
    AdaptiveMeanPool: Pair(_adaptive_mean, _adaptive_mean_back),
    AdaptiveMaxPool: Pair(_adaptive_max, _adaptive_max_back),
    Activation: Pair(_activation, _activation_back),
    PReLU: Pair(_prelu, _prelu_back),
    Dropout: Pair(_dropout, _dropout_back),
    BatchNorm: Pair(_batch_norm, _batch_norm_back),
    Maxout: Pair(
        lambda o, x, _: Made(maxout(x, pieces=o.pieces)),
        lambda o, dy, x, _, __: Error(maxout_pullback(dy, x, pieces=o.pieces)),
    ),
    Softmax: Pair(
        lambda _, x, __: Made(softmax(x, dim=1)),
        lambda _, dy, x, __, ___: Error(softmax_pullback(dy, x, dim=1)),
    ),
    Flatten: Pair(
        lambda _, x, __: Made(flatten(x)),
        lambda _, dy, x, __, ___: Error(flatten_pullback(dy, tuple(x.shape[1:]))),
    ),
    LocalResponseNorm: Pair(
        lambda o, x, _: Made(local_response_norm(x, o.size, **lrn_options(o))),
        lambda o, dy, x, _, __: Error(local_response_norm_pullback(dy, x, o.size, **lrn_options(o))),
    ),
    ChannelShuffle: Pair(
        lambda o, x, _: Made(channel_shuffle(x, o.groups)),
        lambda o, dy, _, __, ___: Error(channel_shuffle_pullback(dy, o.groups)),
    ),
}
