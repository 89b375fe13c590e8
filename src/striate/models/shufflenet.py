"""ShuffleNet: 1x1 convolutions in groups, and a shuffle of the channels between them so that the groups meet.

    conv 24@3x3 /2 - max 3/2 - stages of 240, 480 and 960 channels, of 4, 8 and 4 units - mean - linear classes

    unit          1x1 in groups, to a quarter of the outputs - ReLU - shuffle - depthwise 3x3 - 1x1 in groups
                  y = ReLU(x + unit(x))
    first unit    the depthwise convolution strides by 2, and the shortcut is a mean pooling 3/2 joined along the
    of a stage    channels, so that the unit computes only the channels that are more:
                  y = ReLU(join(pool(x), unit(x)))

Batch normalisation behind every convolution; no ReLU behind the depthwise one.  The very first 1x1 convolution is not
in groups, as it has only 24 inputs.

Zhang, Zhou, Lin and Sun 2018, "ShuffleNet", arXiv:1707.01083, Table 1, at 3 groups and width 1x.
1,865,728 parameters and 137,460,672 MACs at 3x224x224 with 1000 classes.  The convolutions alone make the 137 million
that the table prints, and so they do for 1, 2, 4 and 8 groups, whose channels are in `CHANNELS`.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.layers.conv import Conv2d
from striate.models.card import Card, Options

SMALLEST = 32  # pixels: halved five times, one is left; of fewer, padding would be
STEM = 24
UNITS = (4, 8, 4)
CHANNELS = {  # by groups: of the three stages
    1: (144, 288, 576),
    2: (200, 400, 800),
    3: (240, 480, 960),
    4: (272, 544, 1088),
    8: (384, 768, 1536),
}


class ShuffleUnit(nn.Module):
    """Grouped 1x1, shuffle, depthwise 3x3, grouped 1x1: what is added to, or joined with, the shortcut.

    Args:
        in_channels: channels of the input.
        inner: channels of the first two convolutions.
        out_channels: channels of the last.
        groups: of the last; the shuffle is between as many.
        first_groups: of the first.
        stride: of the depthwise convolution, pixels.

    Shape: (B, C, H, W) -> (B, out_channels, H / stride, W / stride), rounded up.
    """

    def __init__(
        self, in_channels: int, inner: int, out_channels: int, groups: int, first_groups: int, stride: int
    ) -> None:
        super().__init__()
        self.conv1 = Conv2d(in_channels, inner, 1, groups=first_groups, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.relu = nn.ReLU()
        self.shuffle = nn.ChannelShuffle(groups)
        self.conv2 = Conv2d(inner, inner, 3, stride, padding=1, groups=inner, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = Conv2d(inner, out_channels, 1, groups=groups, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B O out_H out_W"]:
        """Within groups, across groups, over space, within groups."""
        y = self.shuffle(self.relu(self.bn1(self.conv1(x))))
        y = self.bn2(self.conv2(y))
        return self.bn3(self.conv3(y))


class Added(nn.Module):
    """A unit whose output is added to its input.

    Args:
        channels: of both.
        groups: of its 1x1 convolutions.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.unit = ShuffleUnit(channels, channels // 4, channels, groups, groups, 1)
        self.relu = nn.ReLU()

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """ReLU of the sum."""
        return self.relu(x + self.unit(x))


class Joined(nn.Module):
    """A unit at half the size, whose output is joined with its input, pooled.

    Args:
        in_channels: channels of the input.
        out_channels: channels of both together.
        groups: of the last 1x1 convolution.
        first_groups: of the first.
    """

    def __init__(self, in_channels: int, out_channels: int, groups: int, first_groups: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(3, 2, padding=1)
        self.unit = ShuffleUnit(in_channels, out_channels // 4, out_channels - in_channels, groups, first_groups, 2)
        self.relu = nn.ReLU()

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B O out_H out_W"]:
        """ReLU of both, side by side."""
        return self.relu(torch.cat([self.pool(x), self.unit(x)], dim=1))


class ShuffleNet(nn.Module):
    """ShuffleNet of the first version.

    Args:
        num_classes: how many classes or numbers, >= 1.
        in_channels: 1 for grey, 3 for colour, or any other number.
        image_size: side of the square picture in pixels, >= 32.
        groups: a key of `CHANNELS`.

    Shape: (B, in_channels, image_size, image_size) -> (B, num_classes), the logits.
    State: named as above; torchvision has no such network.

    Raises:
        ConfigError: a picture that is too small, or groups that the paper does not have.

    >>> ShuffleNet(num_classes=2, image_size=32)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 2])
    """

    def __init__(self, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224, groups: int = 3) -> None:
        super().__init__()
        if image_size < SMALLEST:
            raise ConfigError("shufflenet", "image_size", f">= {SMALLEST} pixels", got=image_size, fix="ask for 224")
        if groups not in CHANNELS:
            known = ", ".join(map(str, CHANNELS))
            raise ConfigError("shufflenet", "groups", f"one of {known}", got=groups, fix="3 is usual")
        self.conv1 = Conv2d(in_channels, STEM, 3, 2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        a, b, c = CHANNELS[groups]
        self.stage2 = _stage(Joined(STEM, a, groups, 1), a, groups, UNITS[0])
        self.stage3 = _stage(Joined(a, b, groups, groups), b, groups, UNITS[1])
        self.stage4 = _stage(Joined(b, c, groups, groups), c, groups, UNITS[2])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(c, num_classes)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B classes"]:
        """The logits."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.stage4(self.stage3(self.stage2(x)))
        return self.fc(self.avgpool(x).flatten(1))


def _stage(first: Joined, channels: int, groups: int, count: int) -> nn.Sequential:
    return nn.Sequential(first, *(Added(channels, groups) for _ in range(count - 1)))


SHUFFLENET = Card(
    builder=lambda o: ShuffleNet(o.classes, o.in_channels, o.image_size),
    usual=Options(num_classes=1000, in_channels=3, image_size=224),
    source="Zhang, Zhou, Lin and Sun 2018, ShuffleNet",
    faithful="as published, at 3 groups and width 1x",
    published={"parameters": 1_865_728, "macs": 137_460_672},
)
