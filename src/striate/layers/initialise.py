"""First weights as a pure function of the seed.

`initialise`: convolutions and linear layers after He et al. 2015 (arXiv:1502.01852, eq. 10), weights normal with
variance 2 / fan_in, which keeps the size of activations through ReLU layers; biases zero.  `initialise_lecun_1998` and
`initialise_normal`: as the networks of 1989 to 2012 began.  Every layer draws from a generator of its own, so adding a
layer at the end leaves the weights before it alone.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from striate.base.random import Purpose, derive
from striate.calculus.initialise import Fans, fans, he_normal, lecun_1998, normal
from striate.layers.table_conv import TableConv2d

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, *TRANSPOSED)


def initialise(model: nn.Module, seed: int) -> None:
    """Draw the weights of a network anew, in place: He's rule.

    Args:
        model: any network; layers with weights other than convolution and linear keep torch's constants.
        seed: the run's seed, >= 0.
    """

    def he(layer: nn.Module, weight: Tensor, generator: Generator) -> None:
        weight.copy_(he_normal(weight.shape, generator, fan=_fan(layer)))
        if isinstance(layer, TableConv2d):
            layer.restrict_()

    _draw(model, seed, he)


def initialise_lecun_1998(model: nn.Module, seed: int) -> None:
    """Draw the weights anew, in place: uniform on +-2.4 / fan_in, biases 0; arguments as `initialise`.

    The map of a connection table has the fan-in of its own connections.  LeCun et al. 1998, appendix A, and 1989.
    """

    def uniform(layer: nn.Module, weight: Tensor, generator: Generator) -> None:
        weight.copy_(lecun_1998(weight.shape, generator, fan=_fan(layer)))
        if isinstance(layer, TableConv2d):
            weight.mul_(layer.table * layer.in_channels / layer.table.sum((1, 2, 3), keepdim=True))

    _draw(model, seed, uniform)


def initialise_normal(model: nn.Module, seed: int, std: float) -> None:
    """Draw the weights anew, in place: N(0, std^2), biases 0; other arguments as `initialise`."""

    def same(_: nn.Module, weight: Tensor, generator: Generator) -> None:
        weight.copy_(normal(weight.shape, generator, std=std))

    _draw(model, seed, same)


@torch.no_grad()
def _draw(model: nn.Module, seed: int, rule: Callable[[nn.Module, Tensor, Generator], None]) -> None:
    layers = (module for module in model.modules() if isinstance(module, WEIGHTED))
    for position, layer in enumerate(layers):
        generator = torch.Generator().manual_seed(derive(seed, Purpose.INITIALISE, position))
        rule(layer, layer.weight, generator)
        if layer.bias is not None:
            layer.bias.zero_()


def _fan(layer: nn.Module) -> Fans:
    if isinstance(layer, nn.Linear):
        return fans(layer.weight.shape)
    assert isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED))
    transposed = isinstance(layer, TRANSPOSED)
    return fans(layer.weight.shape, groups=layer.groups, transposed=transposed, stride=layer.stride)
