"""MobileNet: every convolution but the first in two steps, over space and then over channels.

    conv 32@3x3 /2 - 13 blocks - mean - linear classes
    block   depthwise 3x3 - batch normalisation - ReLU - 1x1 - batch normalisation - ReLU

    channels   64 128 128 256 256 512 512 512 512 512 512 1024 1024
    stride      1   2   1   2   1   2   1   1   1   1   1    2    1

Howard et al. 2017, "MobileNets", arXiv:1704.04861, Table 1, at width 1.0 and 224 pixels.  The table prints a stride of
2 for the last depthwise convolution beside sizes of 7x7 before and behind it; the sizes are what is built.
4,231,976 parameters and 568,740,352 MACs at 3x224x224 with 1000 classes; the paper prints 4.2 and 569 million.

`DepthwiseSeparableConv2d` has nothing between its two steps; here batch normalisation and ReLU stand there.
"""

from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.models.card import Card, Options

SMALLEST = 32  # pixels: halved five times, one is left; of fewer, padding would be
STEM = 32
BLOCKS = (  # channels, stride
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)


class MobileNet(nn.Module):
    """MobileNet of the first version.

    Args:
        num_classes: how many classes or numbers, >= 1.
        in_channels: 1 for grey, 3 for colour, or any other number.
        image_size: side of the square picture in pixels, >= 32.

    Shape: (B, in_channels, image_size, image_size) -> (B, num_classes), the logits.
    State: `features.0` the first convolution, `features.1` to `features.13` the blocks, `fc`; torchvision has no such
    network.

    Raises:
        ConfigError: a picture that is too small.

    >>> import torch
    >>> MobileNet(num_classes=2, image_size=32)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 2])
    """

    def __init__(self, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224) -> None:
        super().__init__()
        if image_size < SMALLEST:
            raise ConfigError("mobilenet", "image_size", f">= {SMALLEST} pixels", got=image_size, fix="ask for 224")
        stem = nn.Conv2d(in_channels, STEM, 3, 2, padding=1, bias=False)
        layers: list[nn.Module] = [nn.Sequential(stem, nn.BatchNorm2d(STEM), nn.ReLU())]
        before = STEM
        for channels, stride in BLOCKS:
            layers.append(_block(before, channels, stride))
            before = channels
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(before, num_classes)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B classes"]:
        """The logits."""
        return self.fc(self.avgpool(self.features(x)).flatten(1))


def _block(in_channels: int, channels: int, stride: int) -> nn.Sequential:
    """Over space, one kernel a channel; then over channels."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=False),
        nn.BatchNorm2d(in_channels),
        nn.ReLU(),
        nn.Conv2d(in_channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


MOBILENET = Card(
    builder=lambda o: MobileNet(o.classes, o.in_channels, o.image_size),
    usual=Options(num_classes=1000, in_channels=3, image_size=224),
    source="Howard et al. 2017, MobileNets: efficient convolutional neural networks for mobile vision applications",
    faithful="as published, at width 1.0",
    published={"parameters": 4_231_976, "macs": 568_740_352},
)
