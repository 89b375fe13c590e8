"""ConvTranspose1d, ConvTranspose2d, ConvTranspose3d: torch's, with another padding on each side.

torch's kernels do the work, and take away what is equal on both sides; the rest is cut off afterwards.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from striate.base.errors import ConfigError
from striate.calculus.conv import PerAxis
from striate.calculus.padding import Pixels, explicit
from striate.calculus.windows import per_axis


class _Cropping(_ConvTransposeNd):
    """What the three add to torch's, next in line: `cut`, pixels (before, after) that torch does not take away.

    The arguments are torch's, in torch's order, so that one import may stand for the other.
    """

    axes: int
    cut: tuple[tuple[int, int], ...] | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: Pixels = 0,
        output_padding: PerAxis = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: PerAxis = 1,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        channels = {"in_channels": in_channels, "out_channels": out_channels}
        sizes = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation, "output_padding": output_padding}
        k, s, d, e = _checked(type(self).__name__, self.axes, channels, groups, sizes)
        pairs = explicit(padding, self.axes)
        least = tuple(min(pair) for pair in pairs)
        torchs: Any = super().__init__  # that of the rank
        torchs(in_channels, out_channels, k, s, least, e, groups, bias, d, "zeros", device, dtype)
        cut = tuple((before - p, after - p) for (before, after), p in zip(pairs, least, strict=True))
        self.cut = cut if any(map(any, cut)) else None

    def forward(self, x: Float[Tensor, "*B_C_spatial"], output_size: list[int] | None = None) -> Tensor:
        """Scatter every pixel over a window."""
        torchs: Any = super().forward
        y: Tensor = torchs(x, output_size)
        if self.cut is None:
            return y
        first = y.ndim - self.axes
        for axis, (before, after) in enumerate(self.cut, start=first):
            y = y.narrow(axis, before, y.shape[axis] - before - after)
        return y

    def extra_repr(self) -> str:
        """The options, as torch shows them."""
        return super().extra_repr() + (f", cut={self.cut}" if self.cut else "")  # type: ignore[no-untyped-call]


def _checked(where: str, dims: int, channels: dict[str, int], groups: int, sizes: dict[str, PerAxis]) -> list[Any]:
    """Every size as a tuple, in order; Any, since torch wants lengths that mypy cannot see."""
    for name, count in channels.items():
        if count < 1:
            raise ConfigError(where, name, ">= 1", got=count, fix="use 1 or more")
        if groups < 1 or count % groups:
            fix = f"use {name} {max(groups, 1) * (count // max(groups, 1) + 1)}, or groups 1"
            raise ConfigError(where, "groups", f"a divisor of {name} {count}", got=groups, fix=fix)
    lowest = {"output_padding": 0}
    each = {name: per_axis(name, n, dims, where=where, minimum=lowest.get(name, 1)) for name, n in sizes.items()}
    for extra, s, d in zip(each["output_padding"], each["stride"], each["dilation"], strict=True):
        if extra >= max(s, d):
            fix = f"use {max(s, d) - 1}, or a larger stride"
            raise ConfigError(where, "output_padding", "less than stride or dilation", got=extra, fix=fix)
    return list(each.values())


class ConvTranspose1d(_Cropping, nn.ConvTranspose1d):
    """`torch.nn.ConvTranspose1d` plus `padding=((before, after),)`.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: entries.
        stride: pixels of the output from window to window.
        padding: pixels taken away at each side, or ((before, after),).
        output_padding: pixels added after, less than the stride or the dilation.
        groups: input group g leads to output group g alone.
        bias: whether to add a learnt number to each output channel.
        dilation: pixels from entry to entry.
        device: where the weights are made.
        dtype: their kind.

    Shape: (B, C, W) or (C, W) -> the same with O channels.  Parameters: C (O / groups) K + O.

    Raises:
        ConfigError: options that do not fit, with the value that would.

    >>> ConvTranspose1d(1, 2, 3, stride=2, padding=((0, 1),))(torch.ones(1, 1, 4)).shape
    torch.Size([1, 2, 8])
    """

    axes = 1


class ConvTranspose2d(_Cropping, nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` plus padding by sides.

    Arguments: as `ConvTranspose1d`, with one number for all axes or one for each of H, W.

    Shape: (B, C, H, W) or (C, H, W) -> the same with O channels.  Parameters: C (O / groups) K^2 + O.

    Raises:
        ConfigError: options that do not fit, with the value that would.

    >>> ConvTranspose2d(3, 8, 3, stride=2, padding=((0, 1), 1))(torch.ones(1, 3, 4, 4)).shape
    torch.Size([1, 8, 8, 7])
    """

    axes = 2


class ConvTranspose3d(_Cropping, nn.ConvTranspose3d):
    """`torch.nn.ConvTranspose3d` plus padding by sides.

    Arguments: as `ConvTranspose1d`, with one number for all axes or one for each of D, H, W.

    Shape: (B, C, D, H, W) or (C, D, H, W) -> the same with O channels.  Parameters: C (O / groups) K^3 + O.

    Raises:
        ConfigError: options that do not fit, with the value that would.

    >>> ConvTranspose3d(1, 2, 2, padding=((0, 1),) * 3)(torch.ones(1, 1, 4, 4, 4)).shape
    torch.Size([1, 2, 4, 4, 4])
    """

    axes = 3
