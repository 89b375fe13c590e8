"""Residual networks: blocks that add what they compute to what they were given.

    y = ReLU(x + F(x))      F: convolutions with batch normalisation, ReLU between them
    y = ReLU(S x + F(x))    where the size or the channels change, S a 1x1 convolution (option B) or nothing learnt (A)

    resnet18, 34   conv 64@7x7 /2 - max 3/2 - stages of 64 128 256 512 - mean - linear classes
                   F: 3x3 - 3x3;  2 2 2 2 and 3 4 6 3 blocks
    resnet50       the same with F: 1x1 - 3x3 - 1x1, the last four times as wide;  3 4 6 3 blocks
    resnet20       conv 16@3x3 - stages of 16 32 64, three blocks each, F: 3x3 - 3x3 - mean - linear classes

                    parameters      MACs
    resnet18        11,689,512     1,814,073,344      3x224x224, 1000 classes
    resnet34        21,797,672     3,663,761,408
    resnet50        25,557,032     4,089,184,256
    resnet50-2015   25,557,032     3,857,973,248
    resnet20           269,722        40,551,040      3x32x32, 10 classes

He, Zhang, Ren and Sun 2016, "Deep residual learning for image recognition", arXiv:1512.03385, Table 1 and section 4.2.

A stage begins by halving the size.  The paper's resnet50 does so in the first 1x1 convolution of the block, which is
`resnet50-2015`; `resnet50` does so in the 3x3 convolution, as torchvision does, since it then sees every pixel.
Convolutions have no biases: batch normalisation would take them away.  Its gains all start at 1, as published; starting
the last gain of each block at 0 (Goyal et al. 2017, arXiv:1706.02677, section 5.1) is left to who wants it.
"""

from collections.abc import Callable, Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from striate.base.errors import ConfigError
from striate.models.card import Card, Options

SMALLEST = 32  # pixels: halved five times, one is left; of fewer, padding would be
SMALLEST_20 = 4  # the same for resnet20, halved twice
CHANNELS = (64, 128, 256, 512)
CHANNELS_20 = (16, 32, 64)
BLOCKS_20 = 3  # in each stage: 6 * 3 + 2 = 20 layers
WIDER = 4  # the outputs of a bottleneck, in channels of its 3x3 convolution


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut.

    Args:
        in_channels: channels of the input.
        channels: of both convolutions.
        stride: of the first, pixels.
        downsample: brings the input to the shape of the output; None: it has that shape.

    Shape: (B, C, H, W) -> (B, channels, H / stride, W / stride), rounded up.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.out_channels = channels
        self.conv1 = _conv(in_channels, channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.conv2 = _conv(channels, channels, 3)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = downsample

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B O out_H out_W"]:
        """ReLU of shortcut and convolutions together."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; the 3x3 one works on a quarter of the channels.

    Args:
        in_channels: channels of the input.
        channels: of the first two convolutions; the last has four times as many.
        strides: of the first and of the second, pixels.
        downsample: brings the input to the shape of the output; None: it has that shape.

    Shape: (B, C, H, W) -> (B, 4 channels, H / stride, W / stride), rounded up, the strides multiplied.
    """

    def __init__(self, in_channels: int, channels: int, strides: tuple[int, int], downsample: nn.Module | None) -> None:
        super().__init__()
        self.out_channels = WIDER * channels
        self.conv1 = _conv(in_channels, channels, 1, strides[0])
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv(channels, channels, 3, strides[1])
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = _conv(channels, self.out_channels, 1)
        self.bn3 = nn.BatchNorm2d(self.out_channels)
        self.relu = nn.ReLU()
        self.downsample = downsample

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B O out_H out_W"]:
        """ReLU of shortcut and convolutions together."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


Block = Callable[[int, int, int], BasicBlock | Bottleneck]  # channels before, of the stage; stride


class PaddedShortcut(nn.Module):
    """Option A: every so many pixels of the input, and channels of zeros behind its own; nothing to learn.

    Args:
        more: channels of zeros.
        stride: pixels from one that is kept to the next.
    """

    def __init__(self, more: int, stride: int) -> None:
        super().__init__()
        self.more, self.stride = more, stride

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B O out_H out_W"]:
        """Fewer pixels, more channels."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))


def _conv(in_channels: int, channels: int, size: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the size at stride 1."""
    return nn.Conv2d(in_channels, channels, size, stride, padding=size // 2, bias=False)


def _projection(in_channels: int, channels: int, stride: int) -> nn.Module | None:
    """Option B: a 1x1 convolution where the shape changes."""
    if stride == 1 and in_channels == channels:
        return None
    return nn.Sequential(_conv(in_channels, channels, 1, stride), nn.BatchNorm2d(channels))


def basic(in_channels: int, channels: int, stride: int) -> BasicBlock:
    """A block of resnet18 and resnet34."""
    return BasicBlock(in_channels, channels, stride, _projection(in_channels, channels, stride))


def bottleneck(in_channels: int, channels: int, stride: int) -> Bottleneck:
    """A block of resnet50, which halves the size in its 3x3 convolution."""
    return Bottleneck(in_channels, channels, (1, stride), _projection(in_channels, WIDER * channels, stride))


def bottleneck_2015(in_channels: int, channels: int, stride: int) -> Bottleneck:
    """A block of the paper's resnet50, which halves the size in its first 1x1 convolution."""
    return Bottleneck(in_channels, channels, (stride, 1), _projection(in_channels, WIDER * channels, stride))


def basic_padded(in_channels: int, channels: int, stride: int) -> BasicBlock:
    """A block of resnet20, whose shortcut learns nothing."""
    same = stride == 1 and in_channels == channels
    return BasicBlock(in_channels, channels, stride, None if same else PaddedShortcut(channels - in_channels, stride))


def _stage(block: Block, in_channels: int, channels: int, count: int, stride: int) -> tuple[nn.Sequential, int]:
    """Blocks of one width, of which the first strides, and the channels that they give."""
    first = block(in_channels, channels, stride)
    given = first.out_channels
    return nn.Sequential(first, *(block(given, channels, 1) for _ in range(count - 1))), given


class ResNet(nn.Module):
    """A residual network for pictures of some 224 pixels.

    Args:
        block: makes a block: `basic`, `bottleneck` or `bottleneck_2015`.
        blocks: how many in each of the four stages.
        num_classes: how many classes or numbers, >= 1.
        in_channels: 1 for grey, 3 for colour, or any other number.
        image_size: side of the square picture in pixels, >= 32.

    Shape: (B, in_channels, image_size, image_size) -> (B, num_classes), the logits.
    State: torchvision's names, `conv1.weight` to `fc.bias`; its states load with strict=True.

    Raises:
        ConfigError: a picture that is too small.

    >>> import torch
    >>> with torch.device("meta"):
    ...     ResNet(basic, (2, 2, 2, 2), image_size=64)(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 1000])
    """

    def __init__(
        self,
        block: Block,
        blocks: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
    ) -> None:
        super().__init__()
        if image_size < SMALLEST:
            fix = "ask for 224, or take resnet20, which is made for small pictures"
            raise ConfigError("resnet", "image_size", f">= {SMALLEST} pixels", got=image_size, fix=fix)
        a, b, c, d = CHANNELS
        self.conv1 = nn.Conv2d(in_channels, a, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(a)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1, given = _stage(block, a, a, blocks[0], 1)
        self.layer2, given = _stage(block, given, b, blocks[1], 2)
        self.layer3, given = _stage(block, given, c, blocks[2], 2)
        self.layer4, given = _stage(block, given, d, blocks[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(given, num_classes)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B classes"]:
        """The logits."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


class ResNet20(nn.Module):
    """A residual network for pictures of some 32 pixels, with shortcuts of option A.

    Args:
        num_classes: how many classes or numbers, >= 1.
        in_channels: 1 for grey, 3 for colour, or any other number.
        image_size: side of the square picture in pixels, >= 4.

    Shape: (B, in_channels, image_size, image_size) -> (B, num_classes), the logits.

    Raises:
        ConfigError: a picture that is too small.

    >>> import torch
    >>> ResNet20()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3, image_size: int = 32) -> None:
        super().__init__()
        if image_size < SMALLEST_20:
            raise ConfigError("resnet20", "image_size", f">= {SMALLEST_20} pixels", got=image_size, fix="ask for 32")
        a, b, c = CHANNELS_20
        self.conv1 = _conv(in_channels, a, 3)
        self.bn1 = nn.BatchNorm2d(a)
        self.relu = nn.ReLU()
        self.layer1, given = _stage(basic_padded, a, a, BLOCKS_20, 1)
        self.layer2, given = _stage(basic_padded, given, b, BLOCKS_20, 2)
        self.layer3, given = _stage(basic_padded, given, c, BLOCKS_20, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(given, num_classes)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B classes"]:
        """The logits."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))


SOURCE = "He, Zhang, Ren and Sun 2016, Deep residual learning for image recognition"
AS_PUBLISHED = "as published, shortcuts of option B"


def _card(block: Block, blocks: Sequence[int], faithful: str, *, parameters: int, macs: int) -> Card:
    return Card(
        builder=lambda o: ResNet(block, blocks, o.classes, o.in_channels, o.image_size),
        usual=Options(num_classes=1000, in_channels=3, image_size=224),
        source=SOURCE,
        faithful=faithful,
        published={"parameters": parameters, "macs": macs},
    )


RESNET18 = _card(basic, (2, 2, 2, 2), AS_PUBLISHED, parameters=11_689_512, macs=1_814_073_344)
RESNET34 = _card(basic, (3, 4, 6, 3), AS_PUBLISHED, parameters=21_797_672, macs=3_663_761_408)
RESNET50 = _card(
    bottleneck,
    (3, 4, 6, 3),
    "as published but for the stride, which is in the 3x3 convolution as in torchvision; shortcuts of option B",
    parameters=25_557_032,
    macs=4_089_184_256,
)
RESNET50_2015 = _card(bottleneck_2015, (3, 4, 6, 3), AS_PUBLISHED, parameters=25_557_032, macs=3_857_973_248)
RESNET20 = Card(
    builder=lambda o: ResNet20(o.classes, o.in_channels, o.image_size),
    usual=Options(num_classes=10, in_channels=3, image_size=32),
    source=SOURCE + ", section 4.2",
    faithful="as published, shortcuts of option A",
    published={"parameters": 269_722, "macs": 40_551_040},
)
