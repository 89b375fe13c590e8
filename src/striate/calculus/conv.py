"""Convolution in one, two or three dimensions, forward and backward.

    y[b, o, m] = bias[o] + sum_{i, k} weight[o, i, k] xp[b, i, s m + d k]        m, k: one index an axis

xp is x within its border (`padding.py`), s the stride, d the dilation, i runs over the C / G input channels
of o's group.  This is cross-correlation, which the field calls convolution; `flip_kernel` rotates the kernel
by 180 degrees first, weight[o, i, K-1-k], which is the mathematicians' convolution.  Backward, from dL/dy:

    dL/dbias[o]         = sum_{b, m} dy[b, o, m]
    dL/dweight[o, i, k] = sum_{b, m} dy[b, o, m] xp[b, i, s m + d k]
    dL/dxp[b, i, j]     = sum_{o, k} weight[o, i, k] dy[b, o, (j - d k) / s]     where s divides j - d k

The last one is the wide ("full") convolution of the error, spread by the stride, with the rotated kernel;
the border's pullback then folds dL/dxp onto dL/dx.
Sources: LeCun et al. 1998, section II; Dumoulin and Visin 2016, arXiv:1603.07285, chapters 2 and 4.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from striate.base.errors import ConfigError
from striate.calculus.padding import Border, Padding, Pair, pad, pad_pullback, resolve
from striate.calculus.pencil import beside, grid, number
from striate.calculus.windows import output_size, per_axis, reach, spread, windows

PerAxis = int | tuple[int, ...]
OUT, KERNEL = "xyz", "uvw"  # einsum's letters for the axes of the output and of the kernel


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the windows lie: one number, or one (before, after), for every axis."""

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    pairs: tuple[Pair, ...]
    dilation: tuple[int, ...]


def geometry(
    sizes: tuple[int, ...], kernel_size: tuple[int, ...], stride: PerAxis, padding: Padding, dilation: PerAxis
) -> Geometry:
    """Every option as one number an axis, checked against the picture's sizes.

    Raises:
        ConfigError: a count of axes that differs, a number below its minimum, or no window that fits.
    """
    dims = len(sizes)
    steps = per_axis("stride", stride, dims, where="conv")
    gaps = per_axis("dilation", dilation, dims, where="conv")
    pairs = resolve(padding, sizes, kernel_size, steps, gaps)
    for n, k, s, pair, d in zip(sizes, kernel_size, steps, pairs, gaps, strict=True):
        output_size(n, k, s, *pair, d)  # refuses a window that does not fit
    return Geometry(kernel_size, steps, pairs, gaps)


# The options are torch's own, so there are more of them than elsewhere in this house.
def conv(
    x: Float[Tensor, "B C *spatial"],
    weight: Float[Tensor, "O I *kernel"],
    bias: Float[Tensor, "_"] | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    border: Border = "zeros",
    flip_kernel: bool = False,
) -> Float[Tensor, "B O *out"]:
    """Slide the kernels over the picture; the rank (1, 2 or 3 axes) is that of x.

    Args:
        x: the picture.
        weight: O kernels over I = C / groups channels.
        bias: one number an output channel.
        stride: pixels from window to window.
        padding: pixels, pixels an axis, ((before, after), ...), or "valid", "same", "full" (see `padding.py`).
        dilation: pixels from kernel entry to kernel entry.
        groups: output group g sees input group g alone.
        border: what lies outside: "zeros", a number, "reflect", "replicate" or "circular".
        flip_kernel: rotate the kernels by 180 degrees (true convolution).

    Raises:
        ConfigError: shapes that do not fit each other, with the value that would.

    >>> x = torch.tensor([[[1.0, 2.0, 4.0, 8.0]]])
    >>> conv(x, torch.tensor([[[1.0, -1.0]]]))[0, 0].tolist()
    [-1.0, -2.0, -4.0]
    """
    _check(x, weight, bias, groups)
    g = geometry(tuple(x.shape[2:]), tuple(weight.shape[2:]), stride, padding, dilation)
    y = correlate(pad(x, g.pairs, border), rotate(weight) if flip_kernel else weight, g.stride, g.dilation, groups)
    return y if bias is None else y + bias.view(-1, *[1] * len(g.stride))


def conv_pullback(
    dy: Float[Tensor, "B O *out"],
    x: Float[Tensor, "B C *spatial"],
    weight: Float[Tensor, "O I *kernel"],
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    border: Border = "zeros",
    flip_kernel: bool = False,
) -> tuple[Float[Tensor, "B C *spatial"], Float[Tensor, "O I *kernel"], Float[Tensor, "O"]]:
    """dL/dx, dL/dweight and dL/dbias, from dL/dy; the options are those of `conv`."""
    _check(x, weight, None, groups)
    g = geometry(tuple(x.shape[2:]), tuple(weight.shape[2:]), stride, padding, dilation)
    xp = pad(x, g.pairs, border)
    dweight = correlate_weight_pullback(dy, xp, g, groups)
    dxp = wide_convolution(dy, rotate(weight) if flip_kernel else weight, g.stride, g.dilation, groups)
    unseen = tuple((0, n - m) for n, m in zip(xp.shape[2:], dxp.shape[2:], strict=True))  # past the last window
    dx = pad_pullback(pad(dxp, unseen), g.pairs, border)
    return dx, rotate(dweight) if flip_kernel else dweight, dy.sum((0, *range(2, dy.ndim)))


def correlate(
    xp: Float[Tensor, "B C *padded"],
    weight: Float[Tensor, "O I *kernel"],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> Float[Tensor, "B O *out"]:
    """Sum over every window of kernel entry times pixel: the convolution of a picture that has its border."""
    view = split(windows(xp, tuple(weight.shape[2:]), stride, dilation), 1, groups)  # B G I *out *kernel
    kernels = split(weight, 0, groups)  # G O I *kernel
    m, k = OUT[: len(stride)], KERNEL[: len(stride)]
    # kernels first: einsum then copies the windows along the picture's rows, 2 to 3 times as fast as across them
    return torch.einsum(f"goi{k},bgi{m}{k}->bgo{m}", kernels, view).flatten(1, 2).contiguous()


def correlate_weight_pullback(
    dy: Float[Tensor, "B O *out"], xp: Float[Tensor, "B C *padded"], g: Geometry, groups: int
) -> Float[Tensor, "O I *kernel"]:
    """Sum over pictures and windows of error times pixel."""
    view = split(windows(xp, g.kernel_size, g.stride, g.dilation), 1, groups)  # B G I *out *kernel
    m, k = OUT[: len(g.stride)], KERNEL[: len(g.stride)]
    return torch.einsum(f"bgi{m}{k},bgo{m}->goi{k}", view, split(dy, 1, groups)).flatten(0, 1)


def wide_convolution(
    dy: Float[Tensor, "B O *out"],
    weight: Float[Tensor, "O I *kernel"],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> Float[Tensor, "B C *padded"]:
    """The adjoint of `correlate` in xp: spread by the stride, pad in full, correlate with the rotated kernels.

    The sizes are s (m - 1) + d (K - 1) + 1: the pixels from the first window's first to the last window's last.
    """
    full = tuple((reach(k, d) - 1,) * 2 for k, d in zip(weight.shape[2:], dilation, strict=True))
    ones = (1,) * len(stride)
    return correlate(pad(spread(dy, stride), full), swap_channels(rotate(weight), groups), ones, dilation, groups)


def rotate(weight: Float[Tensor, "O I *kernel"]) -> Float[Tensor, "O I *kernel"]:
    """Kernels turned by 180 degrees: reversed along every axis.

    >>> rotate(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))[0, 0].tolist()
    [[4.0, 3.0], [2.0, 1.0]]
    """
    return weight.flip(tuple(range(2, weight.ndim)))


def swap_channels(weight: Float[Tensor, "O I *kernel"], groups: int) -> Float[Tensor, "P J *kernel"]:
    """Kernels that lead from output to input channels: (G O') I *k -> (G I) O' *k."""
    return split(weight, 0, groups).transpose(1, 2).flatten(0, 1)


def split(x: Float[Tensor, "*shape"], axis: int, groups: int) -> Float[Tensor, "*split"]:
    """A view with `axis` cut into groups: n -> G, n / G."""
    return x.view(*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])


def _check(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> None:
    """Refuse shapes that do not belong together."""
    if not 3 <= x.ndim <= 5 or weight.ndim != x.ndim:
        fix = f"give x as B C and 1 to 3 axes, and weight as {max(x.ndim, 3)} axes: O I and the same"
        raise ConfigError("conv", "the rank of x and weight", "equal, 3 to 5", got=(x.ndim, weight.ndim), fix=fix)
    if groups < 1 or weight.shape[0] % groups:
        fix = f"use a divisor of the {weight.shape[0]} output channels"
        raise ConfigError("conv", "groups", "a divisor of the output channels", got=groups, fix=fix)
    if x.shape[1] != weight.shape[1] * groups:
        must = f"weight's {weight.shape[1]} times groups {groups} = {weight.shape[1] * groups}"
        fix = f"give x {weight.shape[1] * groups} channels, or weight {x.shape[1] // groups} in its second axis"
        raise ConfigError("conv", "the channels of x", must, got=x.shape[1], fix=fix)
    if bias is not None and bias.numel() != weight.shape[0]:
        fix = f"give {weight.shape[0]} numbers"
        raise ConfigError("conv", "bias", "one number an output channel", got=f"{bias.numel()} numbers", fix=fix)


def demonstrate() -> str:
    """A worked example: a 5x5 picture, a 3x3 kernel, forward and backward."""
    x = torch.tensor([[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0.0]])
    w = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 0, 1.0]])
    y = conv(x[None, None], w[None, None])[0, 0]
    dy = torch.tensor([[1, 0, 0], [0, 0, 2], [0, 0, 0.0]])
    dx, dw, db = conv_pullback(dy[None, None], x[None, None], w[None, None])
    first = x[:3, :3]
    terms = " + ".join(number(v) for v in (first * w).flatten().tolist())
    signal, ramp = torch.tensor([[[1.0, 2.0, 4.0, 7.0]]]), torch.tensor([[[1.0, 0.0, -1.0]]])
    return "\n\n".join(
        [
            "CONVOLUTION   y[m] = sum over k of w[k] x[m + k]",
            _titled("picture x (5x5), kernel w (3x3), output y", beside(grid(x), "*", grid(w), "=", grid(y))),
            "size of y: floor((5 + 0 - 1 (3 - 1) - 1) / 1) + 1 = 3 on each axis",
            _titled("first window, entry by entry", beside(grid(first), "x", grid(w), "=", grid(first * w))),
            f"{terms} = {number(y[0, 0].item())} = y[0, 0]",
            "BACKWARD   given the error dy of each output",
            _titled("dw = windows of x weighted by dy: 1 x (window at 0, 0) + 2 x (window at 1, 2)", _sum(x, dy, dw)),
            f"db = sum of dy = {number(db.item())}",
            _titled("dx = dy padded by 2 on every side, under the rotated w", beside(grid(dy), "->", grid(dx[0, 0]))),
            "ROTATED OR NOT   x = 1 2 4 7, w = 1 0 -1",
            _either_way("cross-correlation", "1x1 + 0x2 - 1x4, 1x2 + 0x4 - 1x7", signal, ramp, False),
            _either_way("true convolution ", "-1x1 + 0x2 + 1x4, -1x2 + 0x4 + 1x7", signal, ramp, True),
        ]
    )


def _titled(title: str, block: str) -> str:
    return f"{title}\n\n{block}"


def _sum(x: Tensor, dy: Tensor, dw: Tensor) -> str:
    """The two windows that the demonstration's error weighs, and their sum."""
    (r0, c0), (r1, c1) = dy.nonzero().tolist()
    a, b = x[r0 : r0 + 3, c0 : c0 + 3], x[r1 : r1 + 3, c1 : c1 + 3]
    weights = (number(dy[r0, c0].item()), number(dy[r1, c1].item()))
    return beside(f"{weights[0]} x", grid(a), f"+ {weights[1]} x", grid(b), "=", grid(dw[0, 0]))


def _either_way(name: str, terms: str, x: Tensor, w: Tensor, flip_kernel: bool) -> str:
    return f"{name}   {terms}   =   {grid(conv(x, w, flip_kernel=flip_kernel)[0])}"


if __name__ == "__main__":
    print(demonstrate())
