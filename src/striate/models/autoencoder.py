"""A convolutional autoencoder: a picture through a narrow place and back.

    encode   conv 16@4x4 /2 - ReLU - conv 32@4x4 /2 - ReLU - conv 8@1x1          C H W -> 8 H/4 W/4
    decode   conv 32@1x1 - ReLU - transposed conv 16@4x4 x2 - ReLU - transposed conv C@4x4 x2

The 8 maps hold half as many numbers as a grey picture, and a sixth of those of a colour picture.  Both ends are linear:
the output is in the units of the input, whatever its mean and deviation.  The kernels of 4x4 are a multiple of the
stride, so that every pixel of the output is made of as many terms (Odena, Dumoulin and Olah 2016, "Deconvolution and
checkerboard artifacts").

The idea is that of Masci, Meier, Ciresan and Schmidhuber 2011, "Stacked convolutional auto-encoders for hierarchical
feature extraction", whose networks pool by the maximum, squash with tanh and are trained layer by layer.  This network
is nobody's in particular.  17,513 parameters, and 928,256 MACs at 1x28x28.
"""

from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.models.card import Card, Options

MULTIPLE = 4  # of the sides, so that halving twice and doubling twice leads back
CHANNELS = (16, 32)
FEATURES = 8


class Autoencoder(nn.Module):
    """Learns to give back what it is given.

    Args:
        in_channels: 1 for grey, 3 for colour, or any other number.
        image_size: side of the square picture in pixels, a multiple of 4.

    Shape: (B, in_channels, H, W) -> the same; H and W multiples of 4, each its own.

    Raises:
        ConfigError: a side that is no multiple of 4.

    >>> import torch
    >>> net = Autoencoder()
    >>> net.encode(torch.zeros(2, 1, 28, 28)).shape, net(torch.zeros(2, 1, 28, 28)).shape
    (torch.Size([2, 8, 7, 7]), torch.Size([2, 1, 28, 28]))
    """

    def __init__(self, in_channels: int = 1, image_size: int = 28) -> None:
        super().__init__()
        _check("image_size", image_size)
        first, second = CHANNELS
        self.encoder = nn.Sequential(
            nn.Conv2d(in_channels, first, 4, 2, padding=1),  # B 16 H/2 W/2
            nn.ReLU(),
            nn.Conv2d(first, second, 4, 2, padding=1),  # B 32 H/4 W/4
            nn.ReLU(),
            nn.Conv2d(second, FEATURES, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(FEATURES, second, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(second, first, 4, 2, padding=1),  # B 16 H/2 W/2
            nn.ReLU(),
            nn.ConvTranspose2d(first, in_channels, 4, 2, padding=1),  # B C H W
        )

    def encode(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 8 H//4 W//4"]:
        """The features: 8 maps of a quarter of the size.

        Raises:
            ConfigError: a side that is no multiple of 4.
        """
        for name, size in zip(("the height", "the width"), x.shape[2:], strict=True):
            _check(name, size)
        return self.encoder(x)

    def decode(self, features: Float[Tensor, "B 8 h w"]) -> Float[Tensor, "B C 4*h 4*w"]:
        """The picture that features stand for."""
        return self.decoder(features)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """The reconstruction."""
        return self.decode(self.encode(x))


def _check(name: str, size: int) -> None:
    if size < 1 or size % MULTIPLE:
        near = max(size - size % MULTIPLE, MULTIPLE)
        fix = f"use {near} or {near + MULTIPLE}, by resizing or by padding"
        raise ConfigError("autoencoder", name, f"a multiple of {MULTIPLE} pixels", got=size, fix=fix)


AUTOENCODER = Card(
    builder=lambda o: Autoencoder(o.in_channels, o.image_size),
    usual=Options(num_classes=None, in_channels=1, image_size=28),
    source="after Masci, Meier, Ciresan and Schmidhuber 2011, Stacked convolutional auto-encoders",
    faithful="the idea alone: strides for max pooling, ReLU for tanh, all layers trained at once, sizes of our own",
    task="reconstruct",
)
