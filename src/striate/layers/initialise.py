"""First weights as a pure function of the seed.

Convolutions and linear layers: He et al. 2015 (arXiv:1502.01852, eq. 10), weights normal with variance
2 / fan_in, which keeps the size of activations through ReLU layers; biases zero.  Every layer draws from
a generator of its own, so adding a layer at the end leaves the weights before it alone.
"""

import torch
from torch import nn

from striate.base.random import Purpose, derive
from striate.calculus.initialise import Fans, fans, he_normal
from striate.layers.table_conv import TableConv2d

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, *TRANSPOSED)


def initialise(model: nn.Module, seed: int) -> None:
    """Draw the weights of a network anew, in place.

    Args:
        model: any network; layers with weights other than convolution and linear keep torch's constants.
        seed: the run's seed, >= 0.
    """
    layers = (module for module in model.modules() if isinstance(module, WEIGHTED))
    for position, layer in enumerate(layers):
        generator = torch.Generator().manual_seed(derive(seed, Purpose.INITIALISE, position))
        with torch.no_grad():
            layer.weight.copy_(he_normal(layer.weight.shape, generator, fan=_fan(layer)))
            if isinstance(layer, TableConv2d):
                layer.restrict_()
            if layer.bias is not None:
                layer.bias.zero_()


def _fan(layer: nn.Module) -> Fans:
    if isinstance(layer, nn.Linear):
        return fans(layer.weight.shape)
    assert isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED))
    transposed = isinstance(layer, TRANSPOSED)
    return fans(layer.weight.shape, groups=layer.groups, transposed=transposed, stride=layer.stride)
