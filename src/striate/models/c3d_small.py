"""A small relative of C3D: 3x3x3 convolutions over clips and volumes.

    conv1 16 - max 1x2x2 - conv2 32 - max 2 - conv3a 64 - conv3b 64 - max 2 - mean - drop 0.5 - linear classes

ReLU behind every convolution.  The first pooling leaves the depth as it is, so that time is not merged too early.

After Tran, Bourdev, Fergus, Torresani and Paluri 2015, "Learning spatiotemporal features with 3D convolutional
networks", arXiv:1412.0767, section 3.  Faithful: kernels of 3x3x3 throughout, the order of channels doubled and sizes
halved, the first pooling, clips of 16 frames.  Not: C3D has eight convolutions of 64 to 512 channels on 112 pixels and
two linear layers of 4096, 78 million parameters in all; here there are four of 16 to 64, and the mean over what is left
takes the place of the linear layers, which lets any clip or volume in from 4 deep, 8 high and 8 wide.
181,834 parameters, and 162,792,064 MACs at 3x16x32x32 with 10 classes.

A sample is a clip (C, 16, S, S) of 16 frames of S pixels; a volume of another depth is taken as it is.
"""

from jaxtyping import Float
from torch import Tensor, nn

from striate.base.axes import SPATIAL
from striate.base.errors import ConfigError
from striate.base.operations import Shape
from striate.layers.dropout import Dropout
from striate.models.card import Card, Options

FRAMES = 16
SMALLEST = (4, 8, 8)  # frames, pixels, pixels: below it nothing is left after the third pooling
CHANNELS = (16, 32, 64)


class C3DSmall(nn.Module):
    """3-D convolutions over a clip or a volume.

    Args:
        num_classes: how many classes or numbers, >= 1.
        in_channels: 1 for grey, 3 for colour, or any other number.
        image_size: side of the square frame in pixels, >= 8.
        dropout: share of the 64 features that training drops, in [0, 1).

    Shape: (B, in_channels, D, H, W) -> (B, num_classes), the logits; any D from 4, H and W from 8.

    Raises:
        ConfigError: a clip that is too small.

    >>> import torch
    >>> C3DSmall()(torch.zeros(2, 3, 4, 8, 9)).shape
    torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3, image_size: int = 32, dropout: float = 0.5) -> None:
        super().__init__()
        _check("image_size", image_size, SMALLEST[2])
        a, b, c = CHANNELS
        self.conv1 = _conv(in_channels, a)
        self.pool1 = nn.MaxPool3d((1, 2, 2))
        self.conv2 = _conv(a, b)
        self.pool2 = nn.MaxPool3d(2)
        self.conv3a = _conv(b, c)
        self.conv3b = _conv(c, c)
        self.pool3 = nn.MaxPool3d(2)
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.dropout = Dropout(dropout)
        self.fc = nn.Linear(c, num_classes)

    def forward(self, x: Float[Tensor, "B C D H W"]) -> Float[Tensor, "B classes"]:
        """The logits.

        Raises:
            ConfigError: a clip that is too small.
        """
        for axis, size, smallest in zip(SPATIAL, x.shape[2:], SMALLEST, strict=True):
            _check(f"the input along {axis}", size, smallest)
        x = self.pool2(self.conv2(self.pool1(self.conv1(x))))
        x = self.pool3(self.conv3b(self.conv3a(x)))
        return self.fc(self.dropout(self.avgpool(x).flatten(1)))


def _conv(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(in_channels, channels, 3, padding=1), nn.ReLU())


def _check(name: str, size: int, smallest: int) -> None:
    if size < smallest:
        fix = f"give clips of {' x '.join(map(str, SMALLEST))} (D, H, W) or more"
        raise ConfigError("c3d-small", name, f">= {smallest}", got=size, fix=fix)


def clip(options: Options) -> Shape:
    """(C, D, H, W): 16 frames."""
    return options.in_channels, FRAMES, options.image_size, options.image_size


C3D_SMALL = Card(
    builder=lambda o: C3DSmall(o.classes, o.in_channels, o.image_size, o.p),
    usual=Options(num_classes=10, in_channels=3, image_size=32, dropout=0.5),
    source="after Tran et al. 2015, Learning spatiotemporal features with 3D convolutional networks",
    faithful="kernels, first pooling and clip length as published; four convolutions of 16 to 64 channels for eight",
    sample=clip,
)
