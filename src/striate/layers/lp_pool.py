"""LPPool1d, LPPool2d, LPPool3d: the p-norm of each window, for every real p >= 1 and numbers of either sign."""

from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.calculus.lp_pool import lp_pool
from striate.calculus.pool_windows import Size


class _LPPool(nn.Module):
    """What the three ranks share; the calculus takes the rank from its input."""

    axes: int

    def __init__(
        self, norm_type: int | float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        if not 1 <= norm_type < float("inf"):
            fix = "1 is the sum, 2 the root of the energy; for the maximum use torch's MaxPool"
            raise ConfigError(type(self).__name__, "norm_type", ">= 1 and finite", got=norm_type, fix=fix)
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def forward(self, x: Float[Tensor, "B C *spatial"]) -> Float[Tensor, "B C *out"]:
        """The norms."""
        if x.ndim != self.axes + 2:
            fix = f"use LPPool{x.ndim - 2}d" if 3 <= x.ndim <= 5 else "give (B, C, ...)"
            raise ConfigError(type(self).__name__, "the axes of the input", str(self.axes + 2), got=x.ndim, fix=fix)
        return lp_pool(x, float(self.norm_type), self.kernel_size, stride=self.stride, ceil_mode=self.ceil_mode)

    def extra_repr(self) -> str:
        """What `print(model)` shows between the brackets."""
        return f"{self.norm_type}, {self.kernel_size}, stride={self.stride}, ceil_mode={self.ceil_mode}"


class LPPool1d(_LPPool):
    """(sum |x|^p)^(1/p) of each window: torch's LPPool1d, which gives it for x >= 0 and even p alone.

    Args:
        norm_type: p, >= 1; 1 is the sum, 2 the root of the energy.
        kernel_size: samples of a window.
        stride: samples from window to window; the kernel's size if None.
        ceil_mode: keep the windows that hang over the edge: the norm of what is inside.

    Shape: (B, C, W) -> (B, C, windows).  Parameters: 0.

    Raises:
        ConfigError: p below 1; in forward, an input of another rank, or no room for a window.

    >>> import torch
    >>> LPPool1d(2, 2)(torch.tensor([[[3.0, -4.0]]]))
    tensor([[[5.]]])
    """

    axes = 1


class LPPool2d(_LPPool):
    """(sum |x|^p)^(1/p) of each window; arguments as `LPPool1d`, with one number for all axes or one for each.

    Shape: (B, C, H, W) -> (B, C, windows down, windows across).  Parameters: 0.

    >>> import torch
    >>> LPPool2d(1, 2)(torch.tensor([[[[1.0, -1.0], [2.0, 4.0]]]]))
    tensor([[[[8.]]]])
    """

    axes = 2


class LPPool3d(_LPPool):
    """(sum |x|^p)^(1/p) of each window; arguments as `LPPool1d`, with one number for all axes or one for each.

    Shape: (B, C, D, H, W) -> (B, C, windows along each).  Parameters: 0.

    >>> import torch
    >>> LPPool3d(3, 2)(torch.full((1, 1, 2, 2, 2), -2.0)).item()  # the cube root of 8 x 8
    4.0
    """

    axes = 3
