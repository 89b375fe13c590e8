"""The perceptron, and the one of several layers: every pixel into every unit, nothing known of the picture's shape.

    perceptron   flatten - linear classes
    mlp          flatten - linear 256 - ReLU - linear classes

Rosenblatt's perceptron (1958) is one layer of weights under a threshold, trained by its own rule, which is in
`calculus/perceptron.py`; here the same weights give logits, so that it trains like every other network.  Hidden layers
became trainable with back-propagation (Rumelhart, Hinton and Williams 1986), with sigmoids where ReLU stands here.
7,850 and 203,530 parameters at 1x28x28 with 10 classes.
"""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.layers.dropout import Dropout
from striate.models.card import Card, Options

HIDDEN = 256  # units of the network called mlp


class MLP(nn.Module):
    """Linear layers with ReLU between them, on a flattened picture.

    Args:
        sizes: numbers of the input, units of each hidden layer, classes: two or more, each >= 1.
        dropout: share of each hidden layer's units that training drops, in [0, 1).

    Shape: (B, C, H, W) with C H W = sizes[0] -> (B, sizes[-1]), the logits.
    Parameters: a weight for each pair of numbers in neighbouring layers, and a bias for each but the input's.

    Raises:
        ConfigError: fewer than two sizes, or one below 1.

    >>> import torch
    >>> MLP([784, 256, 10])(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(self, sizes: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        if len(sizes) < 2 or min(sizes) < 1:
            fix = "give the numbers of the input, of each hidden layer and of the output, such as 784, 256, 10"
            raise ConfigError("mlp", "sizes", "two or more, each >= 1", got=list(sizes), fix=fix)
        self.layers = nn.Sequential(nn.Flatten())
        for inputs, units in pairwise(sizes[:-1]):
            self.layers.extend([nn.Linear(inputs, units), nn.ReLU(), Dropout(dropout)])
        self.layers.append(nn.Linear(sizes[-2], sizes[-1]))

    def forward(self, x: Float[Tensor, "B *sample"]) -> Float[Tensor, "B classes"]:
        """The logits."""
        return self.layers(x)


def _pixels(options: Options) -> int:
    return options.in_channels * options.image_size**2


PERCEPTRON = Card(
    builder=lambda o: MLP([_pixels(o), o.classes]),
    usual=Options(num_classes=10, in_channels=1, image_size=28),
    source="Rosenblatt 1958, The perceptron: a probabilistic model for information storage and organization",
    faithful="one layer of trainable weights; logits in place of the threshold, so that a loss can train it",
)

MLP_256 = Card(
    builder=lambda o: MLP([_pixels(o), HIDDEN, o.classes], o.p),
    usual=Options(num_classes=10, in_channels=1, image_size=28, dropout=0.0),
    source="Rumelhart, Hinton and Williams 1986, Learning representations by back-propagating errors",
    faithful="a hidden layer trained by back-propagation; ReLU and logits as taught today, 256 units by custom",
)
