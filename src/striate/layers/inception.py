"""Inception: 1x1, 3x3 and 5x5 convolutions and a pooling of the same input, side by side."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.layers.conv import Conv2d


class Inception(nn.Module):
    """Four branches, joined along the channels; 1x1 reductions keep the wide kernels cheap.

    Each convolution is followed by ReLU, as in the paper; the 5x5 branch is 5x5, as in the paper.
    Szegedy et al. 2015, "Going deeper with convolutions", arXiv:1409.4842, figure 2b.  Names as torchvision's.

    Args:
        in_channels: channels of the input.
        ch1x1: outputs of the 1x1 branch.
        ch3x3red: channels that the 3x3 branch is reduced to first.
        ch3x3: its outputs.
        ch5x5red: channels that the 5x5 branch is reduced to first.
        ch5x5: its outputs.
        pool_proj: outputs of the 1x1 convolution after the 3x3 max pooling.
        norm: makes the normalisation of so many channels between convolution and ReLU, such as nn.BatchNorm2d;
            None: none, and a bias instead.

    Shape: (B, C, H, W) -> (B, ch1x1 + ch3x3 + ch5x5 + pool_proj, H, W).

    >>> block = Inception(192, 64, 96, 128, 16, 32, 32)  # GoogLeNet's 3a
    >>> block(torch.ones(1, 192, 28, 28)).shape, sum(p.numel() for p in block.parameters())
    (torch.Size([1, 256, 28, 28]), 163696)
    """

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        ch5x5red: int,
        ch5x5: int,
        pool_proj: int,
        *,
        norm: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.out_channels = ch1x1 + ch3x3 + ch5x5 + pool_proj
        self.branch1 = conv_step(in_channels, ch1x1, 1, norm)
        self.branch2 = nn.Sequential(conv_step(in_channels, ch3x3red, 1, norm), conv_step(ch3x3red, ch3x3, 3, norm))
        self.branch3 = nn.Sequential(conv_step(in_channels, ch5x5red, 1, norm), conv_step(ch5x5red, ch5x5, 5, norm))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), conv_step(in_channels, pool_proj, 1, norm))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B O H W"]:
        """All branches on the same input."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


def conv_step(
    in_channels: int, out_channels: int, size: int, norm: Callable[[int], nn.Module] | None, *, stride: int = 1
) -> nn.Sequential:
    """Convolution padded so that stride 1 keeps the size, norm if any (then without a bias), ReLU."""
    conv = Conv2d(in_channels, out_channels, size, stride, padding=size // 2, bias=norm is None)
    between = [] if norm is None else [norm(out_channels)]
    return nn.Sequential(conv, *between, nn.ReLU())
