"""VGG: 3x3 convolutions in five blocks, a pooling behind each, and three linear layers.

    block 64 - block 128 - block 256 - block 512 - block 512 - mean to 7x7 - linear 4096 - drop - linear 4096 - drop
    - linear classes

    block C   a number of convolutions C@3x3, each with ReLU, then max 2

    convolutions a block     parameters     MACs, 3x224x224 and 1000 classes
    vgg11   1 1 2 2 2       132,863,336     7,609,090,048      configuration A
    vgg13   2 2 2 2 2       133,047,848    11,308,466,176      B
    vgg16   2 2 3 3 3       138,357,544    15,470,264,320      D, of them 15,346,630,656 by convolutions
    vgg19   2 2 4 4 4       143,667,240    19,632,062,464      E, of them 19,508,428,800 by convolutions

Simonyan and Zisserman 2015, "Very deep convolutional networks for large-scale image recognition", arXiv:1409.1556,
Tables 1 and 2.  Configurations A-LRN and C are left out.

Five poolings make 224 pixels 7, which the first linear layer takes.  For other sizes the maps are brought to 7x7 by the
mean of each part, which leaves 7x7 as it is; so the weights of one size fit every other.  Where a map is smaller than
7x7 its pixels are repeated: of a picture of 32 pixels a single one is left, and stands 49 times.  The weights of all 49
then learn the same and move the next layer 49 times as far: such pictures want a learning rate that much smaller, some
0.0005.

The paper starts the deeper configurations from a trained vgg11, for which He's first weights stand in here.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.layers.dropout import Dropout
from striate.models.card import Card, Options

SMALLEST = 32  # pixels: below it nothing is left after the fifth pooling
CHANNELS = (64, 128, 256, 512, 512)
SIDE = 7  # pixels that the first linear layer takes
UNITS = 4096


class VGG(nn.Module):
    """A VGG network, without batch normalisation.

    Args:
        convolutions: how many in each of the five blocks.
        num_classes: how many classes or numbers, >= 1.
        in_channels: 1 for grey, 3 for colour, or any other number.
        image_size: side of the square picture in pixels, >= 32.
        dropout: share of the 4096 features that training drops, twice, in [0, 1).

    Shape: (B, in_channels, image_size, image_size) -> (B, num_classes), the logits.
    State: torchvision's names, `features.0.weight` to `classifier.6.bias`; its states load with strict=True.

    Raises:
        ConfigError: a picture that is too small.

    >>> import torch
    >>> with torch.device("meta"):
    ...     VGG((1, 1, 2, 2, 2), image_size=32)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 1000])
    """

    def __init__(
        self,
        convolutions: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if image_size < SMALLEST:
            raise ConfigError("vgg", "image_size", f">= {SMALLEST} pixels", got=image_size, fix="ask for 32 or 224")
        layers: list[nn.Module] = []
        for channels, count in zip(CHANNELS, convolutions, strict=True):
            layers += _block(in_channels, channels, count)
            in_channels = channels
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(SIDE)
        self.classifier = nn.Sequential(
            nn.Linear(in_channels * SIDE * SIDE, UNITS),
            nn.ReLU(),
            Dropout(dropout),
            nn.Linear(UNITS, UNITS),
            nn.ReLU(),
            Dropout(dropout),
            nn.Linear(UNITS, num_classes),
        )

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B classes"]:
        """The logits."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _block(in_channels: int, channels: int, count: int) -> list[nn.Module]:
    """Convolutions that keep the size, then a pooling that halves it."""
    layers: list[nn.Module] = []
    for number in range(count):
        layers += [nn.Conv2d(channels if number else in_channels, channels, 3, padding=1), nn.ReLU()]
    return [*layers, nn.MaxPool2d(2)]


def _card(convolutions: Sequence[int], *, parameters: int, macs: int) -> Card:
    return Card(
        builder=lambda o: VGG(convolutions, o.classes, o.in_channels, o.image_size, o.p),
        usual=Options(num_classes=1000, in_channels=3, image_size=224, dropout=0.5),
        source="Simonyan and Zisserman 2015, Very deep convolutional networks for large-scale image recognition",
        faithful="layers as published; other sizes than 224 are pooled to 7x7; He's first weights",
        published={"parameters": parameters, "macs": macs},
        lr_factor=0.1,  # as nothing is normalised
    )


VGG11 = _card((1, 1, 2, 2, 2), parameters=132_863_336, macs=7_609_090_048)
VGG13 = _card((2, 2, 2, 2, 2), parameters=133_047_848, macs=11_308_466_176)
VGG16 = _card((2, 2, 3, 3, 3), parameters=138_357_544, macs=15_470_264_320)
VGG19 = _card((2, 2, 4, 4, 4), parameters=143_667_240, macs=19_632_062_464)
