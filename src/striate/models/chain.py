"""A network whose layers are called one after the other, as a row of them, whatever its class is.

A sample goes through it once.  Where every layer gets what the one before gave, but for flattening, and the last one's
numbers are the network's, the row computes what the network does.
"""

import torch
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.base.operations import Shape
from striate.models.describe import TELLERS

SAMPLES = 2


@torch.no_grad()
def as_row(module: nn.Module, input_shape: Shape) -> nn.Sequential:
    """The layers in the order in which they are called; they stay the module's own.

    Args:
        module: the network; left as it is.
        input_shape: of one sample.

    Raises:
        ConfigError: something else happens to the numbers between two layers, or a layer has no description.

    >>> from striate.models.lenet5 import LeNet5
    >>> [type(layer).__name__ for layer in as_row(LeNet5(), (1, 32, 32))][:3]
    ['Conv2d', 'MaxPool2d', 'ReLU']
    """
    if any(isinstance(layer, nn.Embedding) for layer in module.modules()):
        fix = "the torch engine runs every network"
        raise ConfigError("chain", "the input", "numbers", got="the places of words in a list", fix=fix)
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []
    names = {layer: name for name, layer in module.named_modules()}
    leaves = [layer for layer in module.modules() if type(layer) in TELLERS]
    hooks = [leaf.register_forward_hook(lambda layer, x, y: calls.append((layer, x[0], y))) for leaf in leaves]
    modes = {layer: layer.training for layer in module.modules()}
    first = next(iter(module.parameters()), torch.zeros(()))
    sample = torch.randn(SAMPLES, *input_shape, generator=torch.Generator().manual_seed(0)).to(first)
    try:
        out = module.eval()(sample)
    finally:
        for hook in hooks:
            hook.remove()
        for layer, training in modes.items():
            layer.training = training
    return _row(module, names, [*calls, (module, out, out)], sample)


def _row(
    module: nn.Module, names: dict[nn.Module, str], calls: list[tuple[nn.Module, Tensor, Tensor]], x: Tensor
) -> nn.Sequential:
    row: list[nn.Module] = []
    for layer, given, made in calls:
        if not isinstance(given, Tensor) or not _same(x, given):
            where = names[layer] or "the output"
            fix = "build it of layers alone: an nn.Sequential of layers of torch and of striate.layers"
            raise ConfigError("chain", where, "what the layer before gave", got="other numbers", fix=fix)
        if given.shape != x.shape:
            row.append(nn.Flatten())
        if layer is not module:
            row.append(layer)
        x = made
    made_of = nn.Sequential(*row)
    if {id(p) for p in made_of.parameters()} != {id(p) for p in module.parameters()}:
        fix = "the torch engine runs every network"
        raise ConfigError("chain", "every parameter", "of a layer that is called", got="others too", fix=fix)
    return made_of


def _same(x: Tensor, given: Tensor) -> bool:
    """Whether a layer was given these numbers, flattened or not."""
    if given.shape not in (x.shape, x.flatten(1).shape):
        return False
    return torch.equal(x.reshape(given.shape), given)
