"""Initialisation: how large the first, random weights are, so that signals neither die nor explode.

    an output  y = sum over fan_in inputs of w x      so   Var y  = fan_in  Var w  E x^2
    an error   dx = sum over fan_out outputs of w dy  so   Var dx = fan_out Var w  E dy^2

    normal        N(0, std^2)                                what AlexNet began with, std 0.01
    LeCun 1998    uniform on +-2.4 / fan_in                  Var w = 1.92 / fan_in^2: y shrinks to 1.92 / fan_in
    Xavier        uniform or normal, Var w = 2 / (fan_in + fan_out)
                                                             y and dx between them keep their variance
    He            uniform or normal, Var w = 2 / ((1 + a^2) fan_in)
                                                             y keeps it after a (leaky) ReLU, which halves E x^2
    orthogonal    rows or columns of length 1, at right angles
                                                             lengths are kept exactly, not on average

Counting: in a convolution of G groups, weight (O, I / G, *k), an output sums over (I / G) prod k inputs and an input
reaches (O / G) prod k outputs; a stride of s lets it reach 1 / s of them on each axis, on average.  A transposed
convolution, weight (I, O / G, *k), is the other way about: an input reaches (O / G) prod k outputs, and an output sums
over (I / G) prod k inputs, or 1 / s of them on each axis: most are the zeros between the inputs.  (Borders apart.)

Sources: LeCun et al. 1998, "Gradient-based learning", appendix A; Glorot and Bengio 2010, equations 12 and 16; He et
al. 2015, arXiv:1502.01852, equations 10 and 15; Saxe et al. 2014, arXiv:1312.6120; Krizhevsky et al. 2012, section 5.

`python -m striate.calculus.initialise` shows the counts and the variances of some layers.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from striate.base.errors import ConfigError


class Fans(NamedTuple):
    """How many terms a sum has: forward, for one output, and backward, for one input; the mean where it varies."""

    fan_in: float
    fan_out: float


def fans(shape: Sequence[int], *, groups: int = 1, transposed: bool = False, stride: int | Sequence[int] = 1) -> Fans:
    """Fan-in and fan-out of a layer.

    Args:
        shape: of the weight: (O, I) of a linear layer, (O, I / G, *k), or, transposed, (I, O / G, *k).
        groups: G.
        transposed: whether it is a transposed convolution.
        stride: one for all axes, or one an axis.

    Raises:
        ConfigError: fewer than two axes, or groups that do not divide the first.

    >>> fans((16, 2, 3, 3), groups=4)
    Fans(fan_in=18.0, fan_out=36.0)
    """
    if len(shape) < 2:
        fix = "biases and gains start at constants, 0 or 1"
        raise ConfigError("fans", "shape", "of two axes or more", got=tuple(shape), fix=fix)
    if groups < 1 or shape[0] % groups:
        fix = "pass the groups of the layer"
        raise ConfigError("fans", "groups", f"a divisor of the first axis, {shape[0]}", got=groups, fix=fix)
    kernel = math.prod(shape[2:])
    steps = (stride,) * len(shape[2:]) if isinstance(stride, int) else stride
    thinned = kernel / math.prod(steps)
    if transposed:
        return Fans(fan_in=shape[0] / groups * thinned, fan_out=float(shape[1] * kernel))
    return Fans(fan_in=float(shape[1] * kernel), fan_out=shape[0] / groups * thinned)


def normal(
    shape: Sequence[int], generator: Generator, *, std: float = 0.01, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "..."]:
    """N(0, std^2), on the generator's device."""
    return torch.empty(tuple(shape), dtype=dtype, device=generator.device).normal_(0, std, generator=generator)


def _uniform(shape: Sequence[int], generator: Generator, bound: float, dtype: torch.dtype) -> Tensor:
    """Uniform on +-bound; the variance is bound^2 / 3."""
    empty = torch.empty(tuple(shape), dtype=dtype, device=generator.device)
    return empty.uniform_(-bound, bound, generator=generator)


def lecun_1998(
    shape: Sequence[int], generator: Generator, *, fan: Fans | None = None, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "..."]:
    """Uniform on +-2.4 / fan_in, as LeNet-5 began.

    Args:
        shape: of the weight.
        generator: where the numbers come from; also the device.
        fan: the counts, where they are not those of `fans(shape)`: for groups, a transposed convolution, a stride.
        dtype: of the weight.
    """
    return _uniform(shape, generator, 2.4 / (fan or fans(shape)).fan_in, dtype)


def xavier_uniform(
    shape: Sequence[int],
    generator: Generator,
    *,
    fan: Fans | None = None,
    gain: float = 1.0,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "..."]:
    """Uniform with variance gain^2 2 / (fan_in + fan_out); arguments as in `lecun_1998`."""
    return _uniform(shape, generator, math.sqrt(3) * _xavier_std(fan or fans(shape), gain), dtype)


def xavier_normal(
    shape: Sequence[int],
    generator: Generator,
    *,
    fan: Fans | None = None,
    gain: float = 1.0,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "..."]:
    """Normal with variance gain^2 2 / (fan_in + fan_out); arguments as in `lecun_1998`."""
    return normal(shape, generator, std=_xavier_std(fan or fans(shape), gain), dtype=dtype)


def _xavier_std(fan: Fans, gain: float) -> float:
    return gain * math.sqrt(2 / (fan.fan_in + fan.fan_out))


def he_uniform(
    shape: Sequence[int],
    generator: Generator,
    *,
    fan: Fans | None = None,
    negative_slope: float = 0.0,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "..."]:
    """Uniform with variance 2 / ((1 + negative_slope^2) fan_in); other arguments as in `lecun_1998`."""
    return _uniform(shape, generator, math.sqrt(3) * _he_std(fan or fans(shape), negative_slope), dtype)


def he_normal(
    shape: Sequence[int],
    generator: Generator,
    *,
    fan: Fans | None = None,
    negative_slope: float = 0.0,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "..."]:
    """Normal with variance 2 / ((1 + negative_slope^2) fan_in); other arguments as in `lecun_1998`."""
    return normal(shape, generator, std=_he_std(fan or fans(shape), negative_slope), dtype=dtype)


def _he_std(fan: Fans, negative_slope: float) -> float:
    return math.sqrt(2 / ((1 + negative_slope**2) * fan.fan_in))


def orthogonal(
    shape: Sequence[int],
    generator: Generator,
    *,
    groups: int = 1,
    gain: float = 1.0,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "..."]:
    """For each group a matrix (first axis / G, the rest) whose rows, or columns if they are fewer, are orthonormal.

    Q of the QR decomposition of normal numbers, with the signs of R's diagonal made positive so that every such matrix
    is equally likely (Mezzadri 2007, arXiv:math-ph/0609050).

    Raises:
        ConfigError: as `fans`.
    """
    fans(shape, groups=groups)  # refuses what has no rows and columns
    rows, columns = shape[0] // groups, math.prod(shape[1:])
    draws = normal((groups, max(rows, columns), min(rows, columns)), generator, std=1.0, dtype=torch.float64)
    q, r = torch.linalg.qr(draws)
    q = q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
    return (gain * (q if rows >= columns else q.mT)).reshape(tuple(shape)).to(dtype)


def demonstrate() -> str:
    """Counts of four layers, and the standard deviation that each rule gives the first."""
    layers = {
        "linear 784 -> 256": ((256, 784), fans((256, 784))),
        "conv 3x3, 16 -> 32": ((32, 16, 3, 3), fans((32, 16, 3, 3))),
        "the same, 4 groups": ((32, 4, 3, 3), fans((32, 4, 3, 3), groups=4)),
        "transposed 4x4, 16 -> 32, stride 2": (
            (16, 32, 4, 4),
            fans((16, 32, 4, 4), transposed=True, stride=2),
        ),
    }
    lines = [f"{'':<36}{'weight':<18}fan_in  fan_out   std: LeCun   Xavier       He"]
    for name, (shape, fan) in layers.items():
        stds = (2.4 / fan.fan_in / math.sqrt(3), _xavier_std(fan, 1.0), _he_std(fan, 0.0))
        counts = f"{fan.fan_in:>6.0f}{fan.fan_out:>9.0f}"
        lines.append(f"{name:<36}{shape!s:<18}{counts}   {stds[0]:>10.4f}{stds[1]:>9.4f}{stds[2]:>9.4f}")
    lines += [
        "",
        "By hand, the third:  fan_in = 16 / 4 * 9 = 36, fan_out = 32 / 4 * 9 = 72, He's std = sqrt(2 / 36) = 0.2357",
        "By hand, the last:   a stride of 2 leaves 4 of 16 kernel entries on inputs: fan_in = 16 * 4 = 64",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(demonstrate())
