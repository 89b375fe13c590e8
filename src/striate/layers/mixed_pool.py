"""MixedPool2d: pooling that learns its mix of max and mean."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.calculus.pool_windows import Size


class MixedPool2d(nn.Module):
    """y = a max + (1 - a) mean of each window, a = sigmoid(logit) learnt, one for the layer.

    Lee, Gallagher and Tu, "Generalizing pooling functions in convolutional neural networks", AISTATS 2016, section 3.1;
    the sigmoid keeps a within (0, 1).

    Args:
        kernel_size: pixels of a window.
        stride: pixels from window to window; the kernel's size if None.
        padding: pixels added on every side, never the maximum and not counted in the mean.
        mix: where a starts, in (0, 1), no unit; 1/2 is half and half.

    Shape: (B, C, H, W) -> (B, C, windows down, windows across).  Parameters: 1.

    Raises:
        ConfigError: mix is not between 0 and 1.

    >>> MixedPool2d(2)(torch.tensor([[[[0.0, 4.0], [0.0, 0.0]]]])).item()
    2.5
    """

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, *, mix: float = 0.5) -> None:
        super().__init__()
        if not 0 < mix < 1:
            fix = "start at 0.5; for one of the two alone use torch's MaxPool2d or AvgPool2d"
            raise ConfigError("MixedPool2d", "mix", "between 0 and 1, both excluded", got=mix, fix=fix)
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.logit = nn.Parameter(torch.tensor(mix).logit())

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C P Q"]:
        """Mix the two answers of every window."""
        largest = F.max_pool2d(x, self.kernel_size, self.stride, self.padding)
        mean = F.avg_pool2d(x, self.kernel_size, self.stride, self.padding, count_include_pad=False)
        return torch.lerp(mean, largest, self.logit.sigmoid().to(x.dtype))

    def extra_repr(self) -> str:
        """What `print(model)` shows between the brackets."""
        return f"{self.kernel_size}, stride={self.stride}, padding={self.padding}"
