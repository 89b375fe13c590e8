"""DepthwiseSeparableConv2d: first over space, channel by channel, then over channels, pixel by pixel."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.calculus.conv import PerAxis
from striate.calculus.padding import Padding
from striate.layers.conv import Conv2d


class DepthwiseSeparableConv2d(nn.Module):
    """One kernel a channel, then a 1x1 convolution: C K^2 + C O weights where a convolution has C O K^2.

    The depthwise step has no bias: the 1x1 step would only carry it into its own.
    Chollet 2017, "Xception", arXiv:1610.02357; Howard et al. 2017, "MobileNets", arXiv:1704.04861.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: entries along H and W.
        stride: pixels from window to window.
        padding: as `Conv2d`.
        dilation: pixels from entry to entry.
        bias: whether the 1x1 convolution adds a learnt number to each output channel.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        device: where the weights are made.
        dtype: their kind.

    Shape: (B, C, H, W) -> (B, O, H', W').  Parameters: C K^2 + C O + O.

    >>> layer = DepthwiseSeparableConv2d(8, 16, 3, padding=1)
    >>> layer(torch.ones(1, 8, 5, 5)).shape, sum(p.numel() for p in layer.parameters())
    (torch.Size([1, 16, 5, 5]), 216)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: Padding = 0,
        dilation: PerAxis = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.depthwise = Conv2d(
            in_channels,
            in_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups=in_channels,
            bias=False,
            padding_mode=padding_mode,
            device=device,
            dtype=dtype,
        )
        self.pointwise = Conv2d(in_channels, out_channels, 1, bias=bias, device=device, dtype=dtype)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B O out_H out_W"]:
        """Over space, then over channels."""
        return self.pointwise(self.depthwise(x))
