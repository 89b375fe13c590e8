"""AlexNet in one tower: the network that later work means, and whose weights are handed around, as AlexNet.

    conv 64@11x11 /4 pad 2 - ReLU - max 3/2 - conv 192@5x5 - ReLU - max 3/2 - conv 384@3x3 - ReLU - conv 256@3x3 - ReLU
    - conv 256@3x3 - ReLU - max 3/2 - mean to 6x6
    - drop - linear 4096 - ReLU - drop - linear 4096 - ReLU - linear classes

Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014, arXiv:1404.5997.  No towers and no
normalisation.  The fourth convolution has 256 kernels, as in torchvision, whose names and 61,100,840 parameters with
1000 classes these are, so that a state of the one loads into the other; the paper's note says 384.  The mean to 6x6,
torchvision's too, leaves 224 pixels as they are and lets any other size in.
"""

from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.layers.dropout import Dropout
from striate.models.card import Card, Options

UNITS = 4096  # of each of the two hidden linear layers
SMALLEST = 63  # pixels: below it nothing is left behind the third pooling


class AlexNet2014(nn.Module):
    """AlexNet in one tower.

    Args:
        num_classes: how many classes or numbers, >= 1.
        in_channels: 1 for grey, 3 for colour, or any other number.
        image_size: side of the square picture in pixels, >= 63.
        dropout: share of the inputs of the first two linear layers that training drops, in [0, 1).

    Shape: (B, in_channels, image_size, image_size) -> (B, num_classes), the logits.

    Raises:
        ConfigError: a picture that is too small.

    >>> import torch
    >>> AlexNet2014(num_classes=2, image_size=63)(torch.zeros(1, 3, 63, 63)).shape
    torch.Size([1, 2])
    """

    def __init__(
        self, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224, dropout: float = 0.5
    ) -> None:
        super().__init__()
        if image_size < SMALLEST:
            raise ConfigError("alexnet-2014", "image_size", f">= {SMALLEST} pixels", got=image_size, fix="ask for 224")
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            Dropout(dropout),
            nn.Linear(256 * 6 * 6, UNITS),
            nn.ReLU(),
            Dropout(dropout),
            nn.Linear(UNITS, UNITS),
            nn.ReLU(),
            nn.Linear(UNITS, num_classes),
        )

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B classes"]:
        """The logits."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


ALEXNET_2014 = Card(
    builder=lambda o: AlexNet2014(o.classes, o.in_channels, o.image_size, o.p),
    usual=Options(num_classes=1000, in_channels=3, image_size=224, dropout=0.5),
    source="Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks, arXiv:1404.5997",
    faithful="layers, names and parameters as in torchvision; conv4 has 256 kernels, where the paper's note says 384",
    published={"parameters": 61_100_840},
    lr_factor=0.05,  # as nothing is normalised
)
