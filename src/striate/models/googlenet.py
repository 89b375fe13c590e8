"""GoogLeNet: nine Inception modules, and two heads half-way that help it train.

    conv1 64@7x7 /2 - pool1 3/2 - norm1 - conv2 64@1x1 - conv3 192@3x3 - norm2 - pool2 3/2
    - inception 3a 3b - pool3 3/2 - 4a 4b 4c 4d 4e - pool4 3/2 - 5a 5b - mean - drop 0.4 - linear classes

ReLU behind every convolution; the poolings take the maximum and keep windows that hang over the edge, which makes
224 pixels 112, 56, 28, 14 and 7.  Szegedy et al. 2015, "Going deeper with convolutions", arXiv:1409.4842, Table 1 and
figure 3.  6,998,552 parameters with 1000 classes, without the heads, and 1,582,671,872 MACs at 3x224x224.

    head   mean 5x5/3 - conv 128@1x1 - ReLU - linear 1024 - ReLU - drop 0.7 - linear classes     behind 4a and 4d

The heads' losses count 0.3 each in training, and the heads are left behind afterwards: a bundle holds the network
alone.

What the paper leaves open: the constants of norm1 and norm2, local response normalisation; here they are AlexNet's.
The first weights; here they are He's.  Table 1's figures for the operations of conv1 and 5a, and for the parameters of
conv1, 4c and 5a, do not agree with its own structure columns; the structure is what is built.

`googlenet-bn` is the same structure with batch normalisation in front of every ReLU, without biases there and without
norm1 and norm2, as later work trains it (Ioffe and Szegedy 2015, arXiv:1502.03167, is a network of its own).
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.layers.dropout import Dropout
from striate.layers.inception import Inception, conv_step
from striate.layers.local_response_norm import LocalResponseNorm
from striate.models.card import Card, Criterion, Options

SMALLEST = 31  # pixels: below it nothing is left behind pool4
HEAD_WEIGHT = 0.3  # of a head's loss beside the network's
HEAD_DROPOUT = 0.7
HEAD_POOL = 5  # pixels, at every third
Norm = Callable[[int], nn.Module]  # channels -> their normalisation
Outputs = tuple[Tensor, Tensor, Tensor]  # logits of the network, of the head behind 4a, of the head behind 4d


class GoogLeNet(nn.Module):
    """GoogLeNet without its heads.

    Args:
        num_classes: how many classes or numbers, >= 1.
        in_channels: 1 for grey, 3 for colour, or any other number.
        image_size: side of the square picture in pixels, >= 31.
        dropout: share of the 1024 features that training drops, in [0, 1).
        norm: makes the normalisation in front of every ReLU, such as nn.BatchNorm2d; None as published: none there, and
            local response normalisation around conv2 and conv3.

    Shape: (B, in_channels, image_size, image_size) -> (B, num_classes), the logits.
    State: named as above; the modules `inception3a` to `inception5b`.

    Raises:
        ConfigError: a picture that is too small.

    >>> GoogLeNet(num_classes=2, image_size=32)(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 2])
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
        dropout: float = 0.4,
        norm: Norm | None = None,
    ) -> None:
        super().__init__()
        if image_size < SMALLEST:
            raise ConfigError("googlenet", "image_size", f">= {SMALLEST} pixels", got=image_size, fix="ask for 224")
        self.num_classes, self.image_size, self.norm = num_classes, image_size, norm
        self.conv1 = conv_step(in_channels, 64, 7, norm, stride=2)  # 112
        self.pool1 = _pool()  # 56
        self.norm1 = _local_norm(norm)
        self.conv2 = conv_step(64, 64, 1, norm)
        self.conv3 = conv_step(64, 192, 3, norm)
        self.norm2 = _local_norm(norm)
        self.pool2 = _pool()  # 28
        self.inception3a = Inception(192, 64, 96, 128, 16, 32, 32, norm=norm)
        self.inception3b = Inception(256, 128, 128, 192, 32, 96, 64, norm=norm)
        self.pool3 = _pool()  # 14
        self.inception4a = Inception(480, 192, 96, 208, 16, 48, 64, norm=norm)
        self.inception4b = Inception(512, 160, 112, 224, 24, 64, 64, norm=norm)
        self.inception4c = Inception(512, 128, 128, 256, 24, 64, 64, norm=norm)
        self.inception4d = Inception(512, 112, 144, 288, 32, 64, 64, norm=norm)
        self.inception4e = Inception(528, 256, 160, 320, 32, 128, 128, norm=norm)
        self.pool4 = _pool()  # 7
        self.inception5a = Inception(832, 256, 160, 320, 32, 128, 128, norm=norm)
        self.inception5b = Inception(832, 384, 192, 384, 48, 128, 128, norm=norm)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = Dropout(dropout)
        self.fc = nn.Linear(1024, num_classes)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B classes"]:
        """The logits."""
        return self.after_4d(self.from_4a_to_4d(self.to_4a(x)))

    def to_4a(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 512 P Q"]:
        """What the first head sees."""
        x = self.norm1(self.pool1(self.conv1(x)))
        x = self.pool2(self.norm2(self.conv3(self.conv2(x))))
        return self.inception4a(self.pool3(self.inception3b(self.inception3a(x))))

    def from_4a_to_4d(self, x: Float[Tensor, "B 512 P Q"]) -> Float[Tensor, "B 528 P Q"]:
        """What the second head sees."""
        return self.inception4d(self.inception4c(self.inception4b(x)))

    def after_4d(self, x: Float[Tensor, "B 528 P Q"]) -> Float[Tensor, "B classes"]:
        """The rest of the way to the logits."""
        x = self.inception5b(self.inception5a(self.pool4(self.inception4e(x))))
        return self.fc(self.dropout(self.avgpool(x).flatten(1)))


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def _local_norm(norm: Norm | None) -> nn.Module:
    return LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0) if norm is None else nn.Identity()


class Head(nn.Module):
    """A small classifier on the maps half-way.

    Args:
        channels: of the maps.
        side: of the maps in pixels; below 5 the mean is over all of them.
        num_classes: how many classes.
        norm: as `GoogLeNet`.

    Shape: (B, channels, side, side) -> (B, num_classes), the logits.
    """

    def __init__(self, channels: int, side: int, num_classes: int, norm: Norm | None) -> None:
        super().__init__()
        window = min(HEAD_POOL, side)
        left = (side - window) // 3 + 1  # 4 of the 14 at 224 pixels
        self.avgpool = nn.AvgPool2d(window, stride=3)
        self.conv = conv_step(channels, 128, 1, norm)
        self.fc1 = nn.Linear(128 * left * left, 1024)
        self.relu = nn.ReLU()
        self.dropout = Dropout(HEAD_DROPOUT)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, x: Float[Tensor, "B C P Q"]) -> Float[Tensor, "B classes"]:
        """The logits."""
        x = self.conv(self.avgpool(x)).flatten(1)
        return self.fc2(self.dropout(self.relu(self.fc1(x))))


class WithHeads(nn.Module):
    """GoogLeNet and its heads, for training.

    Args:
        network: what is kept.

    Shape: (B, in_channels, image_size, image_size) -> in training the logits of the network, of the head behind 4a and
    of the head behind 4d; in evaluation those of the network alone.
    """

    def __init__(self, network: GoogLeNet) -> None:
        super().__init__()
        side = (network.image_size + 1) // 2 // 2 // 2 // 2  # conv1 and three poolings
        self.network = network
        self.head4a = Head(512, side, network.num_classes, network.norm)
        self.head4d = Head(528, side, network.num_classes, network.norm)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Tensor | Outputs:
        """One way through the network, with two looks aside in training."""
        if not self.training:
            return self.network(x)
        at_4a = self.network.to_4a(x)
        at_4d = self.network.from_4a_to_4d(at_4a)
        return self.network.after_4d(at_4d), self.head4a(at_4a), self.head4d(at_4d)


def with_heads(network: nn.Module) -> nn.Module:
    """The network with its heads, of the card's kind."""
    assert isinstance(network, GoogLeNet)
    return WithHeads(network)


def loss_with_heads(plain: Criterion) -> Callable[[Any, Tensor], Tensor]:
    """The network's loss, and 0.3 times each head's."""

    def criterion(outputs: Outputs, labels: Tensor) -> Tensor:
        logits, *asides = outputs
        return plain(logits, labels) + HEAD_WEIGHT * torch.stack([plain(aside, labels) for aside in asides]).sum()

    return criterion


GOOGLENET = Card(
    builder=lambda o: GoogLeNet(o.classes, o.in_channels, o.image_size, o.p),
    usual=Options(num_classes=1000, in_channels=3, image_size=224, dropout=0.4),
    source="Szegedy et al. 2015, Going deeper with convolutions, arXiv:1409.4842",
    faithful="structure of Table 1, 5x5 kernels and all; AlexNet's constants of the normalisation, He's first weights",
    published={"layers with parameters": 22},
    heads=with_heads,
    loss=loss_with_heads,
)

GOOGLENET_BN = Card(
    builder=lambda o: GoogLeNet(o.classes, o.in_channels, o.image_size, o.p, nn.BatchNorm2d),
    usual=Options(num_classes=1000, in_channels=3, image_size=224, dropout=0.4),
    source="Szegedy et al. 2015, Going deeper with convolutions, arXiv:1409.4842",
    faithful="structure of Table 1; batch normalisation throughout in place of biases and local normalisation",
    heads=with_heads,
    loss=loss_with_heads,
)
