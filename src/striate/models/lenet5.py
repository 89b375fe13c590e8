"""LeNet-5 as it is taught today: two convolutions, two poolings, three linear layers, with ReLU and max.

    conv 6@5x5 - ReLU - max 2 - conv 16@5x5 - ReLU - max 2 - linear 120 - ReLU - linear 84 - ReLU - linear classes

After LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
Proc. IEEE 86(11), 1998, Fig. 2.  Unlike the paper: ReLU for the scaled tanh, max pooling for trainable
subsampling, every map of the second convolution sees all six maps, and a linear output for the RBF one.
61,706 parameters and 416,520 MACs at 1x32x32 with 10 classes.

ReLU and the maximum of a window commute, max(0, max x) = max(max(0, x)), and so do their gradients; ReLU is therefore
computed behind the pooling, on a quarter of the numbers.
"""

from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.layers.dropout import Dropout
from striate.models.card import Card, Options

SMALLEST = 20  # pixels: below it nothing is left after the second pooling


class LeNet5(nn.Module):
    """LeNet-5 with ReLU and max pooling.

    Args:
        num_classes: how many classes or numbers, >= 1.
        in_channels: 1 for grey, 3 for colour, or any other number.
        image_size: side of the square picture in pixels, >= 20; the first linear layer takes what is left.
        dropout: share of the 120 and 84 features that training drops, in [0, 1).

    Shape: (B, in_channels, image_size, image_size) -> (B, num_classes), the logits.

    >>> import torch
    >>> LeNet5()(torch.zeros(2, 1, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: int = 32, dropout: float = 0.0) -> None:
        super().__init__()
        if image_size < SMALLEST:
            raise ConfigError("lenet5", "image_size", f">= {SMALLEST} pixels", got=image_size, fix="ask for 32")
        left = ((image_size - 4) // 2 - 4) // 2
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, 5),  # B 6 S-4 S-4
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(6, 16, 5),
            nn.MaxPool2d(2),  # B 16 left left
            nn.ReLU(),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * left * left, 120),
            nn.ReLU(),
            Dropout(dropout),
            nn.Linear(120, 84),
            nn.ReLU(),
            Dropout(dropout),
            nn.Linear(84, num_classes),
        )

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B classes"]:
        """The logits."""
        return self.classifier(self.features(x))


LENET5 = Card(
    builder=lambda o: LeNet5(o.classes, o.in_channels, o.image_size, o.p),
    usual=Options(num_classes=10, in_channels=1, image_size=32, dropout=0.0),
    source="LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition",
    faithful="sizes as published; ReLU, max pooling, full connections and a linear output as taught today",
)
