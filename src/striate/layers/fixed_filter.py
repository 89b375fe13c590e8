"""FixedFilter2d: a kernel that is known, not learnt, on every channel."""

from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.calculus.conv import PerAxis
from striate.calculus.padding import Padding
from striate.calculus.windows import per_axis
from striate.layers.conv import padded_conv


class FixedFilter2d(nn.Module):
    """Apply one kernel, or a bank of O kernels, to each channel by itself; for `calculus/kernels.py`.

    Output channel c O + o is kernel o over channel c.  The kernel is a buffer: saved and moved with the
    module, never trained.

    Args:
        kernel: K K, or a bank O K K.
        stride: pixels from window to window.
        padding: as `Conv2d`; "same" keeps the size.
        padding_mode: "zeros", "reflect", "replicate" or "circular"; zeros darken the border of a smoothed picture.

    Shape: (B, C, H, W) -> (B, C O, H', W').  Parameters: 0.

    Raises:
        ConfigError: a kernel of another rank.

    >>> import torch
    >>> from striate.calculus.kernels import gaussian
    >>> FixedFilter2d(gaussian(5, 1.0))(torch.ones(1, 3, 8, 8)).shape
    torch.Size([1, 3, 8, 8])
    """

    kernel: Tensor

    def __init__(
        self,
        kernel: Float[Tensor, "*bank K_H K_W"],
        stride: PerAxis = 1,
        padding: Padding = "same",
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__()
        if kernel.ndim not in (2, 3):
            fix = "give K x K numbers, or a stack of O of them"
            raise ConfigError("FixedFilter2d", "kernel", "of 2 or 3 axes", got=f"{kernel.ndim}", fix=fix)
        self.stride = per_axis("stride", stride, 2, where="FixedFilter2d")
        self.padding, self.padding_mode = padding, padding_mode
        self.register_buffer("kernel", kernel.detach().clone().reshape(-1, 1, *kernel.shape[-2:]))  # O 1 K K

    def extra_repr(self) -> str:
        """What `print(model)` shows between the brackets."""
        kernels, _, rows, columns = self.kernel.shape
        shown = f"{kernels} of {rows}x{columns}, stride={self.stride}, padding={self.padding!r}"
        return shown + ("" if self.padding_mode == "zeros" else f", padding_mode={self.padding_mode}")

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B CO out_H out_W"]:
        """Each channel under each kernel."""
        C = x.shape[1]
        return padded_conv(
            x,
            self.kernel.to(x.dtype).repeat(C, 1, 1, 1),
            None,
            stride=self.stride,
            padding=self.padding,
            dilation=(1, 1),
            groups=C,
            padding_mode=self.padding_mode,
        )
