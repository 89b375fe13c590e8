"""A network whose layers are called one after the other, as a row of them, whatever its class is.

A sample goes through it once.  Where every layer gets what the one before gave, but for flattening, and the last one's
numbers are the network's, in evaluation and in training, the row computes what the network does.
"""

import copy

import torch
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.base.network import Network
from striate.base.operations import Shape
from striate.base.random import StepRandomness, step_randomness
from striate.models.describe import TELLERS, describe

SAMPLES = 2
Call = tuple[nn.Module, Tensor, Tensor]


def described_in_a_row(module: nn.Module, input_shape: Shape) -> Network:
    """The description of a network whose layers follow one another, whatever its class is.

    Args:
        module: the network.
        input_shape: of one sample.

    Raises:
        ConfigError: it is no such network, or has a layer that has no description.
    """
    return describe(module if type(module) is nn.Sequential else as_row(module, input_shape), input_shape)


@torch.no_grad()
def as_row(module: nn.Module, input_shape: Shape) -> nn.Sequential:
    """The layers, of a copy, in the order in which they are called.

    Args:
        module: the network.
        input_shape: of one sample.

    Raises:
        ConfigError: something else happens to the numbers between two layers, in evaluation or in training.

    >>> from striate.models.lenet5 import LeNet5
    >>> [type(layer).__name__ for layer in as_row(LeNet5(), (1, 32, 32))][:3]
    ['Conv2d', 'MaxPool2d', 'ReLU']
    """
    if any(isinstance(layer, nn.Embedding) for layer in module.modules()):
        raise _no_row("the input", "numbers", "the places of words in a list")
    module = copy.deepcopy(module)
    first = next(iter(module.parameters()), torch.zeros(()))
    sample = torch.randn(SAMPLES, *input_shape, generator=torch.Generator().manual_seed(0)).to(first)
    row = _row(module, _calls(module.eval(), sample), sample)
    with torch.random.fork_rng([]), step_randomness(StepRandomness(0, 0)):
        if not torch.equal(module.train()(sample), row.train()(sample)):
            raise _no_row("the output in training", "what the layers give", "something else")
    return row


def _no_row(what: str, must: str, got: str) -> ConfigError:
    fix = "build it of layers alone: an nn.Sequential of layers of torch and of striate.layers"
    return ConfigError("a network of layers in a row", what, must, got=got, fix=fix)


def _calls(module: nn.Module, sample: Tensor) -> list[Call]:
    """The layers that are called, with what they are given and make; the network itself is the last."""
    calls: list[Call] = []
    leaves = [layer for layer in module.modules() if type(layer) in TELLERS]
    hooks = [leaf.register_forward_hook(lambda layer, x, y: calls.append((layer, x[0], y))) for leaf in leaves]
    out = module(sample)
    for hook in hooks:
        hook.remove()
    return [*calls, (module, out, out)]


def _row(module: nn.Module, calls: list[Call], x: Tensor) -> nn.Sequential:
    row: list[nn.Module] = []
    names = {layer: name for name, layer in module.named_modules()}
    for layer, given, made in calls:
        if not isinstance(given, Tensor) or not _same(x, given):
            raise _no_row(
                names[layer] or "the output", "fed by the layer before it alone", "branches or functions between"
            )
        if given.shape != x.shape:
            row.append(nn.Flatten())
        if layer is not module:
            row.append(layer)
        x = made
    made_of = nn.Sequential(*row)
    if {id(p) for p in made_of.parameters()} != {id(p) for p in module.parameters()}:
        raise _no_row("every parameter", "of a layer that is called", "others too")
    return made_of


def _same(x: Tensor, given: Tensor) -> bool:
    """Whether a layer was given these numbers, flattened or not."""
    if given.shape not in (x.shape, x.flatten(1).shape):
        return False
    return torch.equal(x.reshape(given.shape), given)
