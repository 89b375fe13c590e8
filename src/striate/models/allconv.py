"""All-CNN-C: convolutions and nothing else, strided where others pool.

    drop 0.2 - conv 96@3x3 - conv 96@3x3 - conv 96@3x3 /2 - drop 0.5
    - conv 192@3x3 - conv 192@3x3 - conv 192@3x3 /2 - drop 0.5
    - conv 192@3x3 - conv 192@1x1 - conv classes@1x1 - mean

ReLU behind every convolution but the last.  The seventh is not padded: 32 pixels become 32, 16, 8 and 6.  Table 1
prints ReLU behind the last one too; with it a class whose map is nowhere above 0 learns nothing any more, and at the
learning rate that a recipe has where none is given, that happened to all classes within an epoch.

Springenberg, Dosovitskiy, Brox and Riedmiller 2015, "Striving for simplicity: the all convolutional net",
arXiv:1412.6806, Tables 1 and 2.  1,369,738 parameters, and 270,798,336 MACs at 3x32x32 with 10 classes.  There the
pictures are whitened and their contrast normalised, which is left to the preprocessing.
"""

from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.layers.dropout import Dropout
from striate.models.card import Card, Options

SMALLEST = 9  # pixels: below it fewer than 3 are left for the seventh convolution
INPUT_SHARE = 0.4  # dropped of the input, as a share of what is dropped later: 0.2 of 0.5


class AllConv(nn.Module):
    """All-CNN-C.

    Args:
        num_classes: how many classes or numbers, >= 1.
        in_channels: 1 for grey, 3 for colour, or any other number.
        image_size: side of the square picture in pixels, >= 9.
        dropout: share of the features that training drops behind each strided convolution, in [0, 1); of the input
            two fifths of that share.

    Shape: (B, in_channels, image_size, image_size) -> (B, num_classes), the logits.

    Raises:
        ConfigError: a picture that is too small.

    >>> import torch
    >>> AllConv()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3, image_size: int = 32, dropout: float = 0.5) -> None:
        super().__init__()
        if image_size < SMALLEST:
            raise ConfigError("allconv", "image_size", f">= {SMALLEST} pixels", got=image_size, fix="ask for 32")
        self.features = nn.Sequential(
            Dropout(INPUT_SHARE * dropout),
            *_step(in_channels, 96),
            *_step(96, 96),
            *_step(96, 96, stride=2),
            Dropout(dropout),
            *_step(96, 192),
            *_step(192, 192),
            *_step(192, 192, stride=2),
            Dropout(dropout),
            nn.Conv2d(192, 192, 3),
            nn.ReLU(),
            nn.Conv2d(192, 192, 1),
            nn.ReLU(),
            nn.Conv2d(192, num_classes, 1),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B classes"]:
        """The logits: the mean of each class's map."""
        return self.avgpool(self.features(x)).flatten(1)


def _step(in_channels: int, channels: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(in_channels, channels, 3, stride, padding=1), nn.ReLU()


ALLCONV = Card(
    builder=lambda o: AllConv(o.classes, o.in_channels, o.image_size, o.p),
    usual=Options(num_classes=10, in_channels=3, image_size=32, dropout=0.5),
    source="Springenberg, Dosovitskiy, Brox and Riedmiller 2015, Striving for simplicity: the all convolutional net",
    faithful="All-CNN-C as published but for ReLU behind the logits; He's first weights, and pictures are not whitened",
    published={"parameters": 1_369_738, "macs": 270_798_336},
)
