"""Transposed convolution: put zeros between the pixels, then convolve.

    y[b, o, s m + d k - before] += weight[i, o, k] x[b, i, m]        (+ bias[o]), over all i of o's group, m, k
    size of y = s (n - 1) - p + d (K - 1) + 1 + output_padding        p = before + after

It is the adjoint of convolution with the same weight and options, <conv x, y> = <x, conv_transpose y>:
convolution gathers a window into one number, this scatters one number over a window.  Many sizes n shrink to
the same m under a stride; `output_padding` says which is meant, by pixels added after.  So it restores a shape.
It does not restore the values: the matrix is transposed, not inverted.

Computed as x spread by the stride, padded by d (K - 1), and correlated with the kernel rotated by 180 degrees.
Weight layout as torch: input channels first, C_in, C_out / G, *kernel.  Backward, with dyp the padded dL/dy:

    dL/dx[b, i, m]      = sum_{o, k} weight[i, o, k] dyp[b, o, s m + d k]      (a convolution)
    dL/dweight[i, o, k] = sum_{b, m} x[b, i, m] dyp[b, o, s m + d k]

Sources: Zeiler et al. 2010, "Deconvolutional networks"; Dumoulin and Visin 2016, arXiv:1603.07285, chapter 4.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from striate.base.errors import ConfigError
from striate.base.shapes import transposed_size
from striate.calculus.conv import Geometry, PerAxis, conv, correlate, correlate_weight_pullback, wide_convolution
from striate.calculus.padding import Pair, Pixels, explicit, pad
from striate.calculus.pencil import beside, grid, number
from striate.calculus.windows import per_axis, spread


# The options are torch's own, in torch's order, so there are more of them than elsewhere in this house.
def conv_transpose(
    x: Float[Tensor, "B C *spatial"],
    weight: Float[Tensor, "P J *kernel"],
    bias: Float[Tensor, "_"] | None = None,
    *,
    stride: PerAxis = 1,
    padding: Pixels = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
) -> Float[Tensor, "B O *out"]:
    """Scatter every pixel over a window; the rank (1, 2 or 3 axes) is that of x.

    Args:
        x: the picture.
        weight: for each of the C input channels, J = O / groups kernels.
        bias: one number an output channel.
        stride: pixels of the output from window to window.
        padding: pixels taken away at each side: what `conv` would have padded there.
        output_padding: pixels added after, less than the stride or the dilation.
        groups: input group g leads to output group g alone.
        dilation: pixels from kernel entry to kernel entry.

    Raises:
        ConfigError: shapes that do not fit each other, with the value that would.

    >>> conv_transpose(torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[1.0, 10.0, 100.0]]]), stride=2)[0, 0].tolist()
    [1.0, 10.0, 102.0, 20.0, 200.0]
    """
    g, extra = _geometry(x, weight, stride, padding, output_padding, dilation)
    _check(x, weight, bias, groups)
    wide = wide_convolution(x, weight, g.stride, g.dilation, groups)
    wide = pad(wide, tuple((0, n) for n in extra))
    y = wide[(slice(None), slice(None), *_kept(tuple(wide.shape[2:]), g.pairs))]
    return y if bias is None else y + bias.view(-1, *[1] * len(extra))


def conv_transpose_pullback(
    dy: Float[Tensor, "B O *out"],
    x: Float[Tensor, "B C *spatial"],
    weight: Float[Tensor, "P J *kernel"],
    *,
    stride: PerAxis = 1,
    padding: Pixels = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
) -> tuple[Float[Tensor, "B C *spatial"], Float[Tensor, "P J *kernel"], Float[Tensor, "O"]]:
    """dL/dx, dL/dweight and dL/dbias, from dL/dy; the options are those of `conv_transpose`."""
    g, extra = _geometry(x, weight, stride, padding, output_padding, dilation)
    _check(x, weight, None, groups)
    dyp = pad(dy, g.pairs)
    reached = _kept(tuple(dyp.shape[2:]), tuple((0, n) for n in extra))  # no window touches the added pixels
    dyp = dyp[(slice(None), slice(None), *reached)]
    dx = correlate(dyp, weight, g.stride, g.dilation, groups)
    return dx, correlate_weight_pullback(x, dyp, g, groups), dy.sum((0, *range(2, dy.ndim)))


def _kept(sizes: tuple[int, ...], cut: tuple[Pair, ...]) -> list[slice]:
    return [slice(before, n - after) for n, (before, after) in zip(sizes, cut, strict=True)]


def _geometry(
    x: Tensor, weight: Tensor, stride: PerAxis, padding: Pixels, output_padding: PerAxis, dilation: PerAxis
) -> tuple[Geometry, tuple[int, ...]]:
    """Every option as one number an axis, checked, and the output padding."""
    if not 3 <= x.ndim <= 5 or weight.ndim != x.ndim:
        got, fix = (x.ndim, weight.ndim), f"give x as B C and 1 to 3 axes, and weight as {max(x.ndim, 3)} axes"
        raise ConfigError("conv_transpose", "the rank of x and weight", "equal, 3 to 5", got=got, fix=fix)
    dims = x.ndim - 2
    steps = per_axis("stride", stride, dims, where="conv_transpose")
    gaps = per_axis("dilation", dilation, dims, where="conv_transpose")
    extra = per_axis("output_padding", output_padding, dims, where="conv_transpose", minimum=0)
    g = Geometry(tuple(weight.shape[2:]), steps, explicit(padding, dims), gaps)
    for n, k, s, pair, e, d in zip(x.shape[2:], g.kernel_size, steps, g.pairs, extra, gaps, strict=True):
        transposed_size(n, k, s, pair, e, d)  # refuses a padding that leaves nothing
    return g, extra


def _check(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> None:
    """Refuse channels that do not belong together."""
    C, outputs = weight.shape[0], weight.shape[1] * groups
    if x.shape[1] != C:
        fix = f"give x {C} channels, or weight {x.shape[1]} in its first axis"
        raise ConfigError("conv_transpose", "the channels of x", f"weight's {C}", got=x.shape[1], fix=fix)
    if groups < 1 or C % groups:
        fix = f"use a divisor of the {C} input channels"
        raise ConfigError("conv_transpose", "groups", "a divisor of the input channels", got=groups, fix=fix)
    if bias is not None and bias.numel() != outputs:
        got, fix = f"{bias.numel()} numbers", f"give {outputs} numbers"
        raise ConfigError("conv_transpose", "bias", "one number an output channel", got=got, fix=fix)


def demonstrate() -> str:
    """A worked example: a 2x2 picture under a 3x3 kernel at stride 2, and what comes back from it."""
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    w = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])
    y = conv_transpose(x[None, None], w[None, None], stride=2)[0, 0]
    back = conv(y[None, None], w[None, None], stride=2)[0, 0]
    z = torch.eye(5)
    left, right = conv(z[None, None], w[None, None], stride=2)[0, 0], (z * y).sum().item()
    lines = [
        "TRANSPOSED CONVOLUTION   every pixel of x stamps the kernel, 2 pixels from stamp to stamp",
        beside(grid(x), "stamps", grid(w), "->", grid(y)),
        "size of y: 2 (2 - 1) - 0 + 1 (3 - 1) + 1 + 0 = 5 on each axis",
        f"y[0, 2] lies under two stamps: 1 x 1 + 2 x 1 = {number(y[0, 2].item())};"
        f" y[2, 2] under four: 1 x 1 + 2 x 1 + 3 x 1 + 4 x 1 = {number(y[2, 2].item())}",
        "THE SAME BY ZERO INSERTION   spread x by the stride, pad by 2, convolve with the rotated kernel",
        beside(grid(x), "->", grid(pad(spread(x[None, None], 2), ((2, 2),) * 2)[0, 0]), "->", grid(y)),
        "THE SHAPE COMES BACK, NOT THE VALUES   convolving y with the same kernel at stride 2",
        beside(grid(y), "->", grid(back), "is 2x2 as x was, but x was", grid(x)),
        "THE ADJOINT   z = the 5x5 identity:  <conv z, x> = <z, conv_transpose x>",
        beside("<", grid(left), ",", grid(x), f"> = {number((left * x).sum().item())}"),
        f"sum of y's diagonal = {' + '.join(number(v) for v in y.diagonal().tolist())} = {number(right)}",
    ]
    return "\n\n".join(lines)


if __name__ == "__main__":
    print(demonstrate())
