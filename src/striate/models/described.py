"""A network's description to a module that computes it, named as the description names its parameters.

The module is a `torch.nn.Sequential` of torch's layers and of `striate.layers`: operation 3 is child "3", and row 1 of
branches is child "1" of theirs, so that "3.1.0.weight" is the same parameter here and in `Network.parameter_shapes`.
It computes what `calculus/network.forward` computes, in one, two or three dimensions.  The way back is `describe.py`.
"""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

from torch import nn

from striate.base.errors import ConfigError
from striate.base.network import Branches, Network, Operations, walk
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
    written,
)
from striate.base.shapes import per_axis
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
from striate.layers import branches, channel_shuffle, dropout, local_response_norm, maxout
from striate.layers.conv import Conv1d, Conv2d, Conv3d
from striate.layers.conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from striate.layers.hard_limit import HardLimit
from striate.layers.lp_pool import LPPool1d, LPPool2d, LPPool3d
from striate.layers.scaled_tanh import ScaledTanh
from striate.layers.stochastic_pool import StochasticPool1d, StochasticPool2d, StochasticPool3d

LARGEST = 2**40  # numbers of a parameter: beyond it no machine holds it, and torch's own count of bytes ends
Maker = Callable[[Any, Shape], nn.Module]  # operation and the shape of its input -> layer

# Of each, the layers for 0 (vectors), 1, 2 and 3 axes beside the channels.
CONV = (None, Conv1d, Conv2d, Conv3d)
CONV_TRANSPOSE = (None, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
MAX_POOL = (None, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
MEAN_POOL = (None, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
LP_POOL = (None, LPPool1d, LPPool2d, LPPool3d)
STOCHASTIC_POOL = (None, StochasticPool1d, StochasticPool2d, StochasticPool3d)
ADAPTIVE_MEAN = (None, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
ADAPTIVE_MAX = (None, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
ACTIVATIONS: Mapping[str, Callable[[Activation], nn.Module]] = {
    "linear": lambda _: nn.Identity(),
    "hard_limit": lambda _: HardLimit(),
    "sigmoid": lambda _: nn.Sigmoid(),
    "tanh": lambda _: nn.Tanh(),
    "scaled_tanh": lambda _: ScaledTanh(),
    "relu": lambda _: nn.ReLU(),
    "leaky_relu": lambda o: nn.LeakyReLU(float(o.negative_slope)),
    "elu": lambda o: nn.ELU(float(o.alpha)),
    "swish": lambda _: nn.SiLU(),
    "gelu": lambda _: nn.GELU(),
}
JOINS: Mapping[str, type[branches.Add | branches.Concatenate]] = {
    "add": branches.Add,
    "concatenate": branches.Concatenate,
}


def _of(layers: tuple[Any, ...], x: Shape) -> Any:
    """The layer for the rank of an input."""
    return layers[len(x) - 1]


def _conv(o: Conv, x: Shape) -> nn.Module:
    sizes = o.kernel_size, o.stride, o.padding, o.dilation
    return _of(CONV, x)(x[0], o.out_channels, *sizes, o.groups, o.bias, o.padding_mode, flip_kernel=o.flip_kernel)


def _conv_transpose(o: ConvTranspose, x: Shape) -> nn.Module:
    sizes = o.kernel_size, o.stride, o.padding, o.output_padding
    return _of(CONV_TRANSPOSE, x)(x[0], o.out_channels, *sizes, o.groups, o.bias, o.dilation)


def _mean_pool(o: MeanPool, x: Shape) -> nn.Module:
    kernel = per_axis("kernel_size", o.kernel_size, len(x) - 1, where="mean_pool")
    if len(x) == 4 and any(k > n for k, n in zip(kernel, x[1:], strict=True)):
        must, fix = f"at least as large as the {written(kernel)} kernel in torch's AvgPool3d", "use a smaller kernel"
        what, got = "the map without its padding", written(x[1:])
        raise ConfigError(f"mean_pool on {written(x)}", what, must, got=got, fix=fix)
    return _of(MEAN_POOL, x)(o.kernel_size, o.stride, o.padding, o.ceil_mode, o.count_include_pad)


LAYERS: Mapping[type[Operation], Maker] = {
    Conv: _conv,
    ConvTranspose: _conv_transpose,
    MaxPool: lambda o, x: _of(MAX_POOL, x)(o.kernel_size, o.stride, o.padding, o.dilation, ceil_mode=o.ceil_mode),
    MeanPool: _mean_pool,
    LpPool: lambda o, x: _of(LP_POOL, x)(o.norm_type, o.kernel_size, o.stride, o.ceil_mode),
    StochasticPool: lambda o, x: _of(STOCHASTIC_POOL, x)(o.kernel_size, o.stride, ceil_mode=o.ceil_mode),
    AdaptiveMeanPool: lambda o, x: _of(ADAPTIVE_MEAN, x)(o.output_size),
    AdaptiveMaxPool: lambda o, x: _of(ADAPTIVE_MAX, x)(o.output_size),
    Activation: lambda o, _: ACTIVATIONS[o.name](o),
    PReLU: lambda o, _: nn.PReLU(o.num_parameters, float(o.init)),
    Maxout: lambda o, _: maxout.Maxout(o.pieces),
    Softmax: lambda _, __: nn.Softmax(dim=1),
    Linear: lambda o, x: nn.Linear(x[0], o.out_features, o.bias),
    Flatten: lambda _, __: nn.Flatten(),
    Dropout: lambda o, _: dropout.Dropout(float(o.p)),
    BatchNorm: lambda o, x: _of(BATCH_NORM, x)(x[0], float(o.eps), float(o.momentum)),
    LocalResponseNorm: lambda o, _: local_response_norm.LocalResponseNorm(
        o.size, float(o.alpha), float(o.beta), float(o.k)
    ),
    ChannelShuffle: lambda o, _: channel_shuffle.ChannelShuffle(o.groups),
}


def described(network: Network) -> nn.Sequential:
    """The module of a description, with torch's own draw of weights; `layers/initialise.py` draws them from a seed.

    Raises:
        ConfigError: a parameter that no machine could hold, or a pooling that torch cannot do.

    >>> from striate.base.network import Network
    >>> list(described(Network((1, 4, 4), (Conv(2, 3), Flatten(), Linear(3)))).state_dict())
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """
    for name, shape in network.parameter_shapes().items():
        if prod(shape) > LARGEST:
            fix = "use fewer channels, or pool before flatten"
            raise ConfigError("network", name, f"of {LARGEST} numbers at most", got=written(shape), fix=fix)
    module = _row(network.operations, network.input_shape)
    dropout.number_layers(module)
    return module


def _row(operations: Operations, x: Shape) -> nn.Sequential:
    row = nn.Sequential()
    for step in walk(operations, x):
        if "." not in step.place:
            row.append(_layer(step.operation, step.input))
    return row


def _layer(operation: Operation, x: Shape) -> nn.Module:
    if isinstance(operation, Branches):
        return JOINS[operation.join](*(_row(branch, x) for branch in operation.branches))
    return LAYERS[type(operation)](operation, x)
