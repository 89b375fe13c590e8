"""M5: a convolutional network over a waveform.

    conv 128@80 /4 - max 4 - conv 128@3 - max 4 - conv 256@3 - max 4 - conv 512@3 - max 4 - mean - linear classes

Batch normalisation and ReLU behind every convolution.  The first kernel spans 10 ms at 8 kHz, long enough to work as a
band-pass filter.  Paddings and poolings keep what hangs over the edge: 32,000 samples become 8000, 2000, 500, 125 and
32.

Dai, Dai, Qu, Li and Das 2017, "Very deep convolutional neural networks for raw waveforms", arXiv:1610.00087, Table 1.
558,090 parameters with 1 channel and 10 classes, 0.5 million in the table, and 278,533,120 MACs for 4 s at 8 kHz.
The convolutions have no biases here: batch normalisation would take them away.
"""

from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.layers.conv import Conv1d
from striate.models.card import Card, Options, signal

FIRST = 80  # samples that the first kernel spans, and the shortest signal
CHANNELS = (128, 128, 256, 512)
POOL = 4


class M5(nn.Module):
    """Four convolutions and a linear layer over a waveform.

    Args:
        num_classes: how many classes or numbers, >= 1.
        in_channels: channels of the signal: 1 is mono, 2 is stereo.
        image_size: samples of the signal, >= 80.

    Shape: (B, in_channels, W) -> (B, num_classes), the logits; any W from 80.

    Raises:
        ConfigError: a signal that is too short.

    >>> import torch
    >>> M5()(torch.zeros(2, 1, 800)).shape
    torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: int = 32_000) -> None:
        super().__init__()
        if image_size < FIRST:
            fix = "ask for 32000: 4 s at 8 kHz"
            raise ConfigError("signal1d", "image_size", f">= {FIRST} samples", got=image_size, fix=fix)
        a, b, c, d = CHANNELS
        self.features = nn.Sequential(
            _step(in_channels, a, FIRST, stride=4),
            _step(a, b, 3),
            _step(b, c, 3),
            _step(c, d, 3),
        )
        self.avgpool = nn.AdaptiveAvgPool1d(1)
        self.fc = nn.Linear(d, num_classes)

    def forward(self, x: Float[Tensor, "B C W"]) -> Float[Tensor, "B classes"]:
        """The logits."""
        return self.fc(self.avgpool(self.features(x)).flatten(1))


def _step(in_channels: int, channels: int, size: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU, and a pooling to a quarter, rounded up."""
    return nn.Sequential(
        Conv1d(in_channels, channels, size, stride, padding="same", bias=False),
        nn.BatchNorm1d(channels),
        nn.ReLU(),
        nn.MaxPool1d(POOL, ceil_mode=True),
    )


SIGNAL_M5 = Card(
    builder=lambda o: M5(o.classes, o.in_channels, o.image_size),
    usual=Options(num_classes=10, in_channels=1, image_size=32_000),
    source="Dai, Dai, Qu, Li and Das 2017, Very deep convolutional neural networks for raw waveforms",
    faithful="layers as published; He's first weights",
    sample=signal,
    published={"parameters": 558_090, "macs": 278_533_120},
)
