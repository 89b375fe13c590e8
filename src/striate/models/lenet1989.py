"""The zip code network: back-propagation's first convolutional network that read real mail.

    input 1x16x16, in a border of background
    H1  12 maps 8x8, 5x5 kernels at stride 2     768 units    19,968 connections    1,068 parameters (768 biases)
    H2  12 maps 4x4, 5x5 kernels at stride 2     192 units    38,592 connections    2,592 parameters (192 biases)
    H3  30 units, fully connected                              5,790 connections    5,790 parameters
    output, one unit a class, fully connected                    310 connections      310 parameters

LeCun, Boser, Denker, Henderson, Howard, Hubbard and Jackel, "Backpropagation applied to handwritten zip code
recognition", Neural Computation 1(4), 1989, section 3.3: 1,256 units with the input's, 64,660 connections, 9,760
parameters.  The units of a map share their kernel and not their biases: each has its own.

What the paper leaves open: each map of H2 sees eight of the twelve maps of H1, by a scheme that is not given.  Here map
m sees the eight from m on, around the end, so that every map of H1 is seen by eight.  The border of H1's maps is taken
to be background, -1, as the input's.  Unlike the paper: the output is not squashed and the loss is cross-entropy.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.layers.initialise import initialise_lecun_1998
from striate.layers.scaled_tanh import ScaledTanh
from striate.layers.table_conv import TableConv2d
from striate.models.card import Card, Options

SMALLEST = 4  # pixels: below it nothing is left for H2
MAPS = 12
SEEN = 8  # maps of H1 that a map of H2 sees
BORDER = (2, 1, 2, 1)  # left, right, top, bottom: the windows begin at every second pixel, 5 = 2 + 1 + 2 wide
BACKGROUND = -1.0
H2_TABLE = tuple(tuple((source - target) % MAPS < SEEN for source in range(MAPS)) for target in range(MAPS))


class UnitBias(nn.Module):
    """Add a number of its own to every unit of all maps.

    Args:
        channels: maps.
        size: their side in units.

    Shape: (B, C, S, S), kept.  Parameters: C S S, on one axis, by which optimisers know a bias from a weight.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.shape = (channels, size, size)
        self.bias = nn.Parameter(torch.zeros(channels * size * size))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Each unit and its bias."""
        return x + self.bias.view(self.shape)


class LeNet1989(nn.Module):
    """The zip code network.

    Args:
        num_classes: how many classes or numbers, >= 1.
        in_channels: 1 for grey, 3 for colour, or any other number.
        image_size: side of the square picture in pixels, >= 4; each of H1 and H2 halves it, odd ones rounded down.

    Shape: (B, in_channels, image_size, image_size) -> (B, num_classes), the logits.

    Raises:
        ConfigError: a picture that is too small.

    >>> LeNet1989()(torch.zeros(2, 1, 16, 16)).shape
    torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: int = 16) -> None:
        super().__init__()
        if image_size < SMALLEST:
            raise ConfigError("lenet1989", "image_size", f">= {SMALLEST} pixels", got=image_size, fix="ask for 16")
        half, quarter = image_size // 2, image_size // 4
        self.h1 = nn.Sequential(
            nn.ConstantPad2d(BORDER, BACKGROUND),
            nn.Conv2d(in_channels, MAPS, 5, stride=2, bias=False),  # B 12 S/2 S/2
            UnitBias(MAPS, half),
            ScaledTanh(),
        )
        self.h2 = nn.Sequential(
            nn.ConstantPad2d(BORDER, BACKGROUND),
            TableConv2d(H2_TABLE, 5, stride=2, bias=False),  # B 12 S/4 S/4
            UnitBias(MAPS, quarter),
            ScaledTanh(),
        )
        self.h3 = nn.Sequential(nn.Flatten(), nn.Linear(MAPS * quarter * quarter, 30), ScaledTanh())
        self.output = nn.Linear(30, num_classes)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B classes"]:
        """The logits."""
        return self.output(self.h3(self.h2(self.h1(x))))


LENET_1989 = Card(
    builder=lambda o: LeNet1989(o.classes, o.in_channels, o.image_size),
    usual=Options(num_classes=10, in_channels=1, image_size=16),
    source="LeCun et al. 1989, Backpropagation applied to handwritten zip code recognition",
    faithful="units, connections and parameters as published; which maps H2 sees is a stand-in, the output is linear",
    published={"units": 1_256, "connections": 64_660, "parameters": 9_760},
    start=initialise_lecun_1998,
    lr_factor=5.0,  # small first weights and flat squashing let little through
)
