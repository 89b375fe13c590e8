"""A small fully convolutional network: a class for every pixel.

    body    stage 16 - stage 32 - stage 64           a stage: conv 3x3 - ReLU - conv 3x3 - ReLU - max 2
    head    conv 128@3x3 - ReLU - drop - conv 128@1x1 - ReLU - drop - score classes@1x1             at 1/8 of the size
    up      x2, + score of stage 2  - x2, + score of stage 1 - x2                          at 1/4, 1/2, the whole size

Scores are 1x1 convolutions and start at 0; "x2" is a transposed convolution 4x4 of stride 2 that starts as bilinear
interpolation, one class at a time, and learns.  Poolings keep windows that hang over the edge, and what they made too
large is cut off on the way up, so that every size comes out as it went in.

After Long, Shelhamer and Darrell 2015, "Fully convolutional networks for semantic segmentation", arXiv:1411.4038,
section 4.2.  Faithful: the whole network convolutional, the linear layers of a classifier as convolutions, scores of
earlier stages added, learnt upsampling that starts bilinear.  Not: the body is small and starts from He's weights,
where the paper's is a VGG-16 trained on ImageNet; it goes down by 8 and up in steps of 2, where the paper's goes down
by 32, and FCN-8s up by 2, 2 and 8; the edges are handled by windows that hang over, where the paper pads the picture
by 100 pixels and crops; the last step is learnt, where the paper's is fixed.
187,375 parameters, and 221,827,072 MACs at 3x128x128 with 21 classes.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.layers.dropout import Dropout
from striate.layers.initialise import initialise
from striate.models.card import Card, Options

SMALLEST = 8  # pixels: below it not even one whole window reaches the third pooling
CHANNELS = (16, 32, 64)
HEAD = 128
SCORES = ("score", "score2", "score1")
UPS = ("up3", "up2", "up1")


class FCN(nn.Module):
    """A fully convolutional network for segmentation.

    Args:
        num_classes: how many classes a pixel may be of, >= 2, background included.
        in_channels: 1 for grey, 3 for colour, or any other number.
        image_size: side of the square picture in pixels, >= 8.
        dropout: share of the 128 features of the head that training drops, twice, in [0, 1).

    Shape: (B, in_channels, H, W) -> (B, num_classes, H, W), logits of every pixel; any H and W from 8.

    Raises:
        ConfigError: a picture that is too small.

    >>> FCN(num_classes=3)(torch.zeros(2, 3, 33, 50)).shape
    torch.Size([2, 3, 33, 50])
    """

    def __init__(
        self, num_classes: int = 21, in_channels: int = 3, image_size: int = 128, dropout: float = 0.5
    ) -> None:
        super().__init__()
        if image_size < SMALLEST:
            raise ConfigError("fcn", "image_size", f">= {SMALLEST} pixels", got=image_size, fix="ask for 128")
        a, b, c = CHANNELS
        self.stage1 = _stage(in_channels, a)  # 1/2
        self.stage2 = _stage(a, b)  # 1/4
        self.stage3 = _stage(b, c)  # 1/8
        self.head = nn.Sequential(
            nn.Conv2d(c, HEAD, 3, padding=1),
            nn.ReLU(),
            Dropout(dropout),
            nn.Conv2d(HEAD, HEAD, 1),
            nn.ReLU(),
            Dropout(dropout),
        )
        self.score = nn.Conv2d(HEAD, num_classes, 1)
        self.up3 = _up(num_classes)
        self.score2 = nn.Conv2d(b, num_classes, 1)
        self.up2 = _up(num_classes)
        self.score1 = nn.Conv2d(a, num_classes, 1)
        self.up1 = _up(num_classes)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B classes H W"]:
        """The logits of every pixel."""
        half = self.stage1(x)
        quarter = self.stage2(half)
        y = self.score(self.head(self.stage3(quarter)))  # B classes H/8 W/8
        y = _cropped(self.up3(y), quarter) + self.score2(quarter)
        y = _cropped(self.up2(y), half) + self.score1(half)
        return _cropped(self.up1(y), x)


def _stage(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
    )


def _up(channels: int) -> nn.ConvTranspose2d:
    """Twice the size."""
    return nn.ConvTranspose2d(channels, channels, 4, 2, padding=1, bias=False)


def _cropped(y: Tensor, like: Tensor) -> Tensor:
    """`y` without what stands over at the right and below, where the poolings' windows hung over."""
    return y[..., : like.shape[-2], : like.shape[-1]]


def bilinear(channels: int) -> Float[Tensor, "C C 4 4"]:
    """The weight by which `_up` interpolates: between pixels a distance of 1/4 and 3/4 away, each channel by itself."""
    line = torch.tensor([0.25, 0.75, 0.75, 0.25])
    return torch.eye(channels)[:, :, None, None] * torch.outer(line, line)


@torch.no_grad()
def start(model: nn.Module, seed: int) -> None:
    """He's weights in body and head, scores of 0 and bilinear interpolation, as published."""
    initialise(model, seed)
    for name in SCORES:
        model.get_parameter(f"{name}.weight").zero_()
    for name in UPS:
        weight = model.get_parameter(f"{name}.weight")
        weight.copy_(bilinear(len(weight)))


FCN_SMALL = Card(
    builder=lambda o: FCN(o.classes, o.in_channels, o.image_size, o.p),
    usual=Options(num_classes=21, in_channels=3, image_size=128, dropout=0.5),
    source="after Long, Shelhamer and Darrell 2015, Fully convolutional networks for semantic segmentation",
    faithful="skips, scores and upsampling as published; a small body of our own, down by 8, for the trained VGG-16",
    task="segment",
    start=start,
)
