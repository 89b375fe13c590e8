"""A module to its description: rows of known layers, torch's and ours, to the network that they compute.

Only what the description can say is described: a layer that it does not know, an option of torch's that it does not
have, or weights that two layers share are refused by the name of the module.  The way back is `described.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from striate.base.errors import ConfigError
from striate.base.network import Branches, Network
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
from striate.base.padding import Pixels
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

Made = TypeVar("Made")
Teller = Callable[[Any, Shape], Operation]  # a layer and the shape of its input -> what it does


def _only(layer: nn.Module, option: str, holds: bool, must: str, fix: str) -> None:
    """Refuse an option of torch's that the description does not have."""
    if not holds:
        raise ConfigError(type(layer).__name__, option, must, got=getattr(layer, option), fix=fix)


def _conv(layer: Any, _: Shape) -> Operation:
    rule = getattr(layer, "rule", None)
    options = layer.dilation, layer.groups, layer.bias is not None, layer.padding_mode
    padding = layer.padding if rule is None else rule
    flip = getattr(layer, "flip_kernel", False)
    return Conv(layer.out_channels, layer.kernel_size, layer.stride, padding, *options, flip)


def _conv_transpose(layer: Any, _: Shape) -> Operation:
    cut = getattr(layer, "cut", None)
    padding: Pixels = layer.padding
    if cut is not None:
        padding = tuple((p + before, p + after) for p, (before, after) in zip(layer.padding, cut, strict=True))
    options = layer.output_padding, layer.groups, layer.bias is not None, layer.dilation
    return ConvTranspose(layer.out_channels, layer.kernel_size, layer.stride, padding, *options)


def _max_pool(layer: Any, _: Shape) -> Operation:
    _only(layer, "return_indices", not layer.return_indices, "False", "leave it out")
    return MaxPool(layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode)


def _mean_pool(layer: Any, _: Shape) -> Operation:
    divisor = getattr(layer, "divisor_override", None)
    _only(layer, "divisor_override", divisor is None, "None", "leave it out")
    return MeanPool(layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode, layer.count_include_pad)


def _lp_pool(layer: Any, _: Shape) -> Operation:
    return LpPool(layer.norm_type, layer.kernel_size, layer.stride, layer.ceil_mode)


def _torchs_lp_pool(layer: Any, x: Shape) -> Operation:
    fix = "use the layer of striate.layers.lp_pool, whose norm is one for every p and every window"
    _only(layer, "norm_type", layer.norm_type % 2 == 0, "even, for torch's is no norm else", fix)
    _only(layer, "ceil_mode", not layer.ceil_mode, "False, for torch's enlarges the norms at the edge", fix)
    return _lp_pool(layer, x)


def _stochastic_pool(layer: Any, _: Shape) -> Operation:
    return StochasticPool(layer.kernel_size, layer.stride, layer.ceil_mode)


def _adaptive(kind: type[AdaptiveMeanPool | AdaptiveMaxPool]) -> Teller:
    def tell(layer: Any, _: Shape) -> Operation:
        asked = layer.output_size
        whole = None not in asked if isinstance(asked, tuple | list) else asked is not None
        _only(layer, "output_size", whole, "a number for every axis", "write the size out")
        _only(layer, "return_indices", not getattr(layer, "return_indices", False), "False", "leave it out")
        return kind(asked)

    return tell


def _batch_norm(layer: Any, _: Shape) -> Operation:
    _only(layer, "affine", layer.affine, "True", "a scale of 1 and a shift of 0 are the same")
    _only(layer, "track_running_stats", layer.track_running_stats, "True", "evaluation needs them")
    _only(layer, "momentum", layer.momentum is not None, "a number", "0.1 is usual")
    return BatchNorm(layer.eps, layer.momentum)


def _softmax(layer: Any, x: Shape) -> Operation:
    _only(layer, "dim", layer.dim in (1, -len(x)), "that of the channels", "use dim=1")
    return Softmax()


def _flatten(layer: Any, x: Shape) -> Operation:
    _only(layer, "start_dim", layer.start_dim == 1, "1", "leave it out: the batch alone is kept")
    _only(layer, "end_dim", layer.end_dim in (-1, len(x)), "-1", "leave it out: all axes of a sample in one")
    return Flatten()


def _gelu(layer: Any, _: Shape) -> Operation:
    _only(layer, "approximate", layer.approximate == "none", "none", "leave it out")
    return Activation("gelu")


def _function(name: str) -> Teller:
    return lambda _, __: Activation(name)


TELLERS: Mapping[type[nn.Module], Teller] = {
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d, Conv1d, Conv2d, Conv3d), _conv),
    **dict.fromkeys((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), _conv_transpose),
    **dict.fromkeys((ConvTranspose1d, ConvTranspose2d, ConvTranspose3d), _conv_transpose),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), _max_pool),
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), _mean_pool),
    **dict.fromkeys((nn.LPPool1d, nn.LPPool2d, nn.LPPool3d), _torchs_lp_pool),
    **dict.fromkeys((LPPool1d, LPPool2d, LPPool3d), _lp_pool),
    **dict.fromkeys((StochasticPool1d, StochasticPool2d, StochasticPool3d), _stochastic_pool),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), _adaptive(AdaptiveMeanPool)),
    **dict.fromkeys((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d), _adaptive(AdaptiveMaxPool)),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), _batch_norm),
    **dict.fromkeys((nn.Dropout, dropout.Dropout), lambda layer, _: Dropout(layer.p)),
    **dict.fromkeys((nn.ChannelShuffle, channel_shuffle.ChannelShuffle), lambda layer, _: ChannelShuffle(layer.groups)),
    **dict.fromkeys(
        (nn.LocalResponseNorm, local_response_norm.LocalResponseNorm),
        lambda layer, _: LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k),
    ),
    nn.Linear: lambda layer, _: Linear(layer.out_features, layer.bias is not None),
    nn.Flatten: _flatten,
    nn.Softmax: _softmax,
    nn.PReLU: lambda layer, _: PReLU(layer.num_parameters, layer.init),
    maxout.Maxout: lambda layer, _: Maxout(layer.pieces),
    nn.Identity: _function("linear"),
    HardLimit: _function("hard_limit"),
    nn.Sigmoid: _function("sigmoid"),
    nn.Tanh: _function("tanh"),
    ScaledTanh: _function("scaled_tanh"),
    nn.ReLU: _function("relu"),
    nn.LeakyReLU: lambda layer, _: Activation("leaky_relu", negative_slope=layer.negative_slope),
    nn.ELU: lambda layer, _: Activation("elu", alpha=layer.alpha),
    nn.SiLU: _function("swish"),
    nn.GELU: _gelu,
}
JOINS: Mapping[type[nn.Module], str] = {branches.Add: "add", branches.Concatenate: "concatenate"}


def describe(module: nn.Module, input_shape: Shape) -> Network:
    """What a row of layers computes; rows within rows become one.

    Args:
        module: layers of torch and of `striate.layers`, in `torch.nn.Sequential`, `Add` and `Concatenate`.
        input_shape: of one sample.

    Raises:
        ConfigError: the first module that has no description, or does not fit the input.

    >>> row = nn.Sequential(nn.Conv2d(1, 6, 5), nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)), nn.Flatten())
    >>> describe(row, (1, 28, 28)).output_shape
    (864,)
    """
    if not _is_row(module):
        fix = "give the nn.Sequential within it, or one that holds its parts"
        raise ConfigError("describe", "the module", "an nn.Sequential", got=type(module).__name__, fix=fix)
    Network(input_shape, ())  # refuses what is no shape
    network = Network(input_shape, tuple(_row(module, input_shape, "")[0]))
    _same_parameters(module, network)
    return network


def _is_row(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _row(module: nn.Module, x: Shape, prefix: str) -> tuple[list[Operation], Shape]:
    """The operations of a row, nested rows in line, and the shape after them."""
    row: list[Operation] = []
    for name, layer in module._modules.items():  # named_children leaves out a layer that comes again
        assert layer is not None
        if _is_row(layer):
            inner, x = _row(layer, x, f"{prefix}{name}.")
            row += inner
        else:
            operation, x = _operation(layer, x, f"{prefix}{name}")
            row.append(operation)
    return row, x


def _operation(layer: nn.Module, x: Shape, name: str) -> tuple[Operation, Shape]:
    """What one module does, and the shape that it makes."""
    where = f"module {name} ({type(layer).__name__}) on {written(x)}"
    if type(layer) in JOINS:
        each = layer._modules.items()
        rows = [_branch(branch, x, f"{name}.{number}") for number, branch in each if branch is not None]
        operation: Operation = Branches(tuple(map(tuple, rows)), JOINS[type(layer)])
    elif type(layer) not in TELLERS:
        fix = "build it of layers of torch and of striate.layers, or use the module as it is"
        raise ConfigError(where, "a module", "one that has a description", got=type(layer).__name__, fix=fix)
    else:
        operation = _placed(where, lambda: TELLERS[type(layer)](layer, x))
    return operation, _placed(where, lambda: operation.shape(x))


def _branch(branch: nn.Module, x: Shape, name: str) -> list[Operation]:
    """A row within branches; a bare nn.Identity is the empty one."""
    if _is_row(branch):
        return _row(branch, x, f"{name}.")[0]
    return [] if type(branch) is nn.Identity else [_operation(branch, x, name)[0]]


def _placed(where: str, build: Callable[[], Made]) -> Made:
    """What is built; an error names the module."""
    try:
        return build()
    except ConfigError as fault:
        raise ConfigError(where, fault.what, fault.must, got=fault.got, fix=fault.fix) from None


def _same_parameters(module: nn.Module, network: Network) -> None:
    """Refuse a module whose parameters are not those of its description, one by one and in order."""
    seen: set[int] = set()
    told = network.parameter_shapes()
    held = dict(module.named_parameters(remove_duplicate=False))
    for (name, parameter), (place, shape) in zip(held.items(), told.items(), strict=False):
        if id(parameter) in seen:
            fix = "give every layer weights of its own"
            raise ConfigError("describe", name, "the parameter of one layer alone", got="shared weights", fix=fix)
        seen.add(id(parameter))
        if (name.rpartition(".")[2], tuple(parameter.shape)) != (place.rpartition(".")[2], shape):
            must = f"a {place.rpartition('.')[2]} of shape {shape} for this input"
            fix = "give the input shape that the module was made for"
            raise ConfigError("describe", name, must, got=tuple(parameter.shape), fix=fix)
    if len(held) != len(told):
        fix = "leave out parameters that no layer of torch's has"
        raise ConfigError("describe", "the number of parameters", str(len(told)), got=len(held), fix=fix)
