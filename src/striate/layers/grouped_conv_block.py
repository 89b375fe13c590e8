"""GroupedConvBlock: two cheap grouped convolutions, and a shuffle so that the groups meet."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from striate.calculus.channel_shuffle import channel_shuffle
from striate.calculus.conv import PerAxis
from striate.calculus.padding import Padding
from striate.layers.conv import Conv2d


class GroupedConvBlock(nn.Module):
    """Grouped 1x1 convolution, norm, ReLU, channel shuffle, grouped K x K convolution.

    G groups divide the weights of both by G; without the shuffle, an output would see 1 / G of the channels
    for ever.  After Zhang et al. 2018, "ShuffleNet", arXiv:1707.01083.

    Args:
        in_channels: channels of the input, a multiple of groups.
        out_channels: channels within and of the output, a multiple of groups; of groups squared, for every group
            of the second convolution to see as many channels from each group of the first.
        kernel_size: entries along H and W of the second convolution.
        stride: its pixels from window to window.
        padding: its padding, as `Conv2d`.
        groups: G.
        norm: makes the normalisation of so many channels, such as nn.BatchNorm2d; None: none, and a bias instead.

    Shape: (B, C, H, W) -> (B, O, H', W').  Parameters: (C O + O^2 K^2) / G, O (bias), and the norm's.

    Raises:
        ConfigError: channels that do not divide.

    >>> import torch
    >>> GroupedConvBlock(8, 16, groups=4)(torch.ones(2, 8, 6, 6)).shape
    torch.Size([2, 16, 6, 6])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis = 3,
        stride: PerAxis = 1,
        padding: Padding = "same",
        groups: int = 2,
        norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        self.groups = groups
        self.pointwise = Conv2d(in_channels, out_channels, 1, groups=groups, bias=norm is None)
        self.norm = nn.Identity() if norm is None else norm(out_channels)
        self.relu = nn.ReLU()
        self.spatial = Conv2d(out_channels, out_channels, kernel_size, stride, padding, groups=groups)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B O out_H out_W"]:
        """Within groups, across groups, within groups."""
        mixed = self.relu(self.norm(self.pointwise(x)))
        return self.spatial(channel_shuffle(mixed, self.groups))
