"""Subsample2d: the S layers of LeNet-5."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.calculus.pool_windows import Size


class Subsample2d(nn.Module):
    """y = w_c (sum of the window) + b_c: the inputs of a window are added, not averaged, then scaled and shifted.

    The paper squashes the result; put the activation after this layer.  LeCun, Bottou, Bengio and Haffner,
    "Gradient-based learning applied to document recognition", Proc. IEEE 86 (1998), section II.B, layer S2.

    Args:
        channels: C, each with its own coefficient and bias.
        kernel_size: pixels of a window, 2x2 in the paper.
        stride: pixels from window to window; the kernel's size if None.

    Shape: (B, C, H, W) -> (B, C, windows down, windows across).  Parameters: 2 C.
    At the start every coefficient is one over the pixels of a window and every bias 0: the layer starts as the mean.

    Raises:
        ConfigError: no channels.

    >>> Subsample2d(1)(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])).item()
    3.0
    """

    def __init__(self, channels: int, kernel_size: Size = 2, stride: Size | None = None) -> None:
        super().__init__()
        if channels < 1:
            fix = "give the channels of the convolution before it"
            raise ConfigError("Subsample2d", "channels", ">= 1", got=channels, fix=fix)
        self.kernel_size, self.stride = kernel_size, stride
        self.window = kernel_size**2 if isinstance(kernel_size, int) else torch.Size(kernel_size).numel()
        self.weight = nn.Parameter(torch.full((channels,), 1 / self.window))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C P Q"]:
        """Add up every window, scale and shift."""
        if x.shape[-3] != len(self.weight):  # one channel would broadcast to as many as there are coefficients
            fix = "give the channels of the convolution before it"
            raise ConfigError("Subsample2d", "channels", str(len(self.weight)), got=x.shape[-3], fix=fix)
        # the sum by way of the mean: ONNX knows no sum of a window
        total = F.avg_pool2d(x, self.kernel_size, self.stride) * self.window
        return total * self.weight[:, None, None] + self.bias[:, None, None]

    def extra_repr(self) -> str:
        """What `print(model)` shows between the brackets."""
        return f"{len(self.weight)}, {self.kernel_size}, stride={self.stride}"
