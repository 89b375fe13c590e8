"""Conv1d, Conv2d, Conv3d: torch's, with the padding rules that torch lacks and true convolution.

torch's kernels do the work.  What torch pads itself goes to torch untouched; the rules of `calculus/padding.py`
(`"full"`, strided `"same"`, another number on each side) are resolved for the size at hand, given to torch as a
number where both sides are equal, and padded beforehand where they are not.
"""

from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from striate.base.errors import ConfigError
from striate.calculus.conv import PerAxis, rotate
from striate.calculus.padding import BORDERS, RULES, Padding, check_border, explicit, resolve
from striate.calculus.windows import per_axis, reach

Mode = Literal["zeros", "reflect", "replicate", "circular"]
CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def padded_conv(
    x: Float[Tensor, "*B_C_spatial"],
    weight: Float[Tensor, "O I *kernel"],
    bias: Float[Tensor, "O"] | None,
    *,
    stride: tuple[int, ...],
    padding: Padding,
    dilation: tuple[int, ...],
    groups: int,
    padding_mode: str,
) -> Float[Tensor, "*B_O_out"]:
    """Torch's convolution under any padding of the calculus; x with or without its batch axis."""
    sizes = tuple(x.shape[2 - weight.ndim :])
    pairs = resolve(padding, sizes, tuple(weight.shape[2:]), stride, dilation)
    conv = CONV[weight.ndim - 2]
    if padding_mode == "zeros" and all(before == after for before, after in pairs):
        return conv(x, weight, bias, stride, [before for before, _ in pairs], dilation, groups)  # no padded copy
    check_border(padding_mode, sizes, pairs)
    flat = [n for pair in reversed(pairs) for n in pair]  # torch counts from the last axis
    xp = F.pad(x, flat, mode="constant" if padding_mode == "zeros" else padding_mode)
    return conv(xp, weight, bias, stride, 0, dilation, groups)


class _Wider(_ConvNd):
    """What the three convolutions add to torch's."""

    flip_kernel: bool
    rule: Padding | None  # None: torch pads as it always does

    def _extend(self, rule: Padding | None, flip_kernel: bool) -> None:
        self.flip_kernel, self.rule = flip_kernel, rule
        if rule is not None:
            self.padding = rule  # type: ignore[assignment]  # for repr: torch's type knows no pairs

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if x.ndim >= weight.ndim - 1 and x.shape[1 - weight.ndim] != self.in_channels:
            got = x.shape[1 - weight.ndim]
            fix = f"build it with in_channels={got}, or give {self.in_channels} channels"
            raise ConfigError(type(self).__name__, "the channels of the input", str(self.in_channels), got=got, fix=fix)
        if self.flip_kernel:
            weight = rotate(weight)
        if self.rule is None:
            return super()._conv_forward(x, weight, bias)
        return padded_conv(
            x,
            weight,
            bias,
            stride=self.stride,
            padding=self.rule,
            dilation=self.dilation,
            groups=self.groups,
            padding_mode=self.padding_mode,
        )

    def extra_repr(self) -> str:
        """The options, as torch shows them."""
        return super().extra_repr() + (  # type: ignore[no-untyped-call]
            ", flip_kernel=True" if self.flip_kernel else ""
        )


def _for_torch(padding: Padding, size: tuple[int, ...], step: tuple[int, ...], gap: tuple[int, ...]) -> Any:
    """The padding, checked, if torch can do it; None if the calculus has to.

    torch's own "same" is kept for odd kernels at stride 1: for even ones it copies, as we do, and warns.
    """
    if not isinstance(padding, str):
        pairs = explicit(padding, len(size))
        known = isinstance(padding, int) or all(isinstance(p, int) for p in padding)
        return tuple(before for before, _ in pairs) if known else None
    if padding not in RULES:
        must, fix = f"pixels or one of {', '.join(RULES)}", "use same to keep the size, or pixels such as 1"
        raise ConfigError(f"Conv{len(size)}d", "padding", must, got=padding, fix=fix)
    odd = all(reach(k, d) % 2 for k, d in zip(size, gap, strict=True))
    return padding if padding == "valid" or (padding == "same" and odd and set(step) == {1}) else None


def _axes(where: str, dims: int, *values: PerAxis) -> Any:  # torch wants tuples of a length that mypy cannot see
    names = ("kernel_size", "stride", "dilation")
    return tuple(per_axis(name, value, dims, where=where) for name, value in zip(names, values, strict=True))


def _check(where: str, in_channels: int, out_channels: int, groups: int, padding_mode: str) -> Mode:
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels < 1:
            raise ConfigError(where, name, ">= 1", got=channels, fix="use 1 or more")
        if groups < 1 or channels % groups:
            fix = f"use {name} {max(groups, 1) * (channels // max(groups, 1) + 1)}, or groups 1"
            raise ConfigError(where, "groups", f"a divisor of {name} {channels}", got=groups, fix=fix)
    if padding_mode not in BORDERS:
        fix = "use zeros where in doubt"
        raise ConfigError(where, "padding_mode", f"one of {', '.join(BORDERS)}", got=repr(padding_mode), fix=fix)
    return cast(Mode, padding_mode)


# The arguments below are torch's, in torch's order, so that one import may stand for the other.
class Conv1d(_Wider, nn.Conv1d):
    """`torch.nn.Conv1d` plus `padding="full"`, strided `"same"`, ((before, after),) and `flip_kernel`.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: entries.
        stride: pixels from window to window.
        padding: pixels, ((before, after),), or "valid", "same", "full".
        dilation: pixels from entry to entry.
        groups: output group g sees input group g alone.
        bias: whether to add a learnt number to each output channel.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        device: where the weights are made.
        dtype: their kind.
        flip_kernel: true convolution, the kernel turned by 180 degrees.

    Shape: (B, C, W) or (C, W) -> the same with O channels.  Parameters: O (C / groups) K + O.

    Raises:
        ConfigError: options that do not fit, with the value that would.

    >>> Conv1d(1, 2, 3, padding="full")(torch.ones(1, 1, 4)).shape
    torch.Size([1, 2, 6])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: Padding = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        flip_kernel: bool = False,
    ) -> None:
        mode = _check("Conv1d", in_channels, out_channels, groups, padding_mode)
        size, step, gap = _axes("Conv1d", 1, kernel_size, stride, dilation)
        own = _for_torch(padding, size, step, gap)
        super().__init__(in_channels, out_channels, size, step, own or 0, gap, groups, bias, mode, device, dtype)
        self._extend(padding if own is None else None, flip_kernel)


class Conv2d(_Wider, nn.Conv2d):
    """`torch.nn.Conv2d` plus `padding="full"`, strided `"same"`, padding by sides and `flip_kernel`.

    Arguments: as `Conv1d`, with one number for all axes or one for each of H, W.

    Shape: (B, C, H, W) or (C, H, W) -> the same with O channels.  Parameters: O (C / groups) K^2 + O.

    Raises:
        ConfigError: options that do not fit, with the value that would.

    >>> Conv2d(3, 8, 3, stride=2, padding="same")(torch.ones(1, 3, 7, 7)).shape
    torch.Size([1, 8, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: Padding = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        flip_kernel: bool = False,
    ) -> None:
        mode = _check("Conv2d", in_channels, out_channels, groups, padding_mode)
        size, step, gap = _axes("Conv2d", 2, kernel_size, stride, dilation)
        own = _for_torch(padding, size, step, gap)
        super().__init__(in_channels, out_channels, size, step, own or 0, gap, groups, bias, mode, device, dtype)
        self._extend(padding if own is None else None, flip_kernel)


class Conv3d(_Wider, nn.Conv3d):
    """`torch.nn.Conv3d` plus `padding="full"`, strided `"same"`, padding by sides and `flip_kernel`.

    Arguments: as `Conv1d`, with one number for all axes or one for each of D, H, W.

    Shape: (B, C, D, H, W) or (C, D, H, W) -> the same with O channels.  Parameters: O (C / groups) K^3 + O.

    Raises:
        ConfigError: options that do not fit, with the value that would.

    >>> Conv3d(1, 2, 2, padding=((0, 1),) * 3)(torch.ones(1, 1, 4, 4, 4)).shape
    torch.Size([1, 2, 4, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: Padding = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        flip_kernel: bool = False,
    ) -> None:
        mode = _check("Conv3d", in_channels, out_channels, groups, padding_mode)
        size, step, gap = _axes("Conv3d", 3, kernel_size, stride, dilation)
        own = _for_torch(padding, size, step, gap)
        super().__init__(in_channels, out_channels, size, step, own or 0, gap, groups, bias, mode, device, dtype)
        self._extend(padding if own is None else None, flip_kernel)
