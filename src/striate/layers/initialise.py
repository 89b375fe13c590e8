"""First weights as a pure function of the seed.

Convolutions and linear layers: He et al. 2015 (arXiv:1502.01852, eq. 10), weights normal with variance
2 / fan_in, which keeps the size of activations through ReLU layers; biases zero.  Every layer draws from
a generator of its own, so adding a layer at the end leaves the weights before it alone.
"""

import torch
from torch import nn

from striate.base.random import Purpose, derive
from striate.calculus.initialise import he_normal

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


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
            layer.weight.copy_(he_normal(layer.weight.shape, generator))
            if layer.bias is not None:
                layer.bias.zero_()
