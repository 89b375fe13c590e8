"""Classical kernels, to be applied as fixed convolutions before any were learnt.

    gaussian        g[i, j] ~ exp(-(i^2 + j^2) / (2 sigma^2)), sum 1                   smooths
    sobel           s_x = (1 2 1)^T (-1 0 1),  s_y = s_x^T                             slope across the picture, down it
    laplacian       0 1 0 / 1 -4 1 / 0 1 0,  with diagonals 1 1 1 / 1 -8 1 / 1 1 1     second derivative: spots, lines
    oriented_edge   cos(a) g_x + sin(a) g_y,  g_x[i, j] ~ j g[i, j]                    slope in the direction a

They are meant for cross-correlation (the field's convolution): rows grow downwards, columns to the right, so
sobel("x") answers with a positive number where the picture grows brighter to the right.
Sources: Marr and Hildreth 1980 (Gaussian, Laplacian); Sobel and Feldman 1968; Freeman and Adelson 1991 (steering).
"""

from math import cos, pi, sin

import torch
from jaxtyping import Float
from torch import Tensor

from striate.base.errors import ConfigError
from striate.calculus.pencil import beside, grid, number
from striate.calculus.windows import windows


def gaussian(size: int, sigma: int | float) -> Float[Tensor, "K K"]:
    """A bell of `size` x `size` pixels that sums to 1.

    Args:
        size: pixels, odd, so that there is a centre.
        sigma: standard deviation in pixels, > 0.

    Raises:
        ConfigError: an even size or sigma <= 0.

    >>> gaussian(3, 1e3).mul(9).round().tolist()  # very wide: the mean
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    _, bell = _bell(size, sigma)
    return torch.outer(bell, bell)


def sobel(axis: str) -> Float[Tensor, "3 3"]:
    """Slope across the picture (axis "x") or down it ("y"), smoothed along the other axis; a ramp of 1 gives 8.

    >>> sobel("x").tolist()
    [[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]
    """
    if axis not in ("x", "y"):
        raise ConfigError("sobel", "axis", "x or y", got=repr(axis), fix="x: across the picture; y: down it")
    across = torch.outer(torch.tensor([1.0, 2.0, 1.0]), torch.tensor([-1.0, 0.0, 1.0]))
    return across if axis == "x" else across.T


def laplacian(*, diagonals: bool = False) -> Float[Tensor, "3 3"]:
    """The neighbours less the centre as often: 4 of them, or 8 with the diagonals.

    >>> laplacian().tolist()
    [[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]
    """
    corner = float(diagonals)
    centre = -4 - 4 * corner
    return torch.tensor([[corner, 1, corner], [1, centre, 1], [corner, 1, corner]])


def oriented_edge(degrees: int | float, size: int = 5, sigma: int | float = 1.0) -> Float[Tensor, "K K"]:
    """Slope in one direction under a bell: the derivative of a Gaussian, steered; a ramp of 1 that way gives 1.

    Args:
        degrees: where it grows brighter: 0 to the right, 90 downwards.
        size: pixels, odd, >= 3.
        sigma: standard deviation of the bell in pixels, > 0.

    Raises:
        ConfigError: a size that is even or 1, or sigma <= 0.
    """
    if size < 3:
        raise ConfigError("oriented_edge", "size", ">= 3", got=size, fix="a slope needs two sides: use 3 or 5")
    offset, bell = _bell(size, sigma)
    slope = offset * bell / (offset**2 * bell).sum()
    right = torch.outer(bell, slope)
    return cos(degrees * pi / 180) * right + sin(degrees * pi / 180) * right.T


def edge_bank(directions: int, size: int = 5, sigma: int | float = 1.0) -> Float[Tensor, "O K K"]:
    """Oriented edges at equal angles over the half circle, the first at 0 degrees.

    Raises:
        ConfigError: no direction, or what `oriented_edge` refuses.
    """
    if directions < 1:
        raise ConfigError("edge_bank", "directions", ">= 1", got=directions, fix="4 are 0, 45, 90 and 135 degrees")
    return torch.stack([oriented_edge(180 * i / directions, size, sigma) for i in range(directions)])


def _bell(size: int, sigma: int | float) -> tuple[Tensor, Tensor]:
    """Offsets from the centre and a one-dimensional bell over them that sums to 1."""
    if size < 1 or size % 2 == 0:
        raise ConfigError("gaussian", "size", "odd and positive", got=size, fix=f"use {max(size, 0) + 1}")
    if not sigma > 0:  # nan too
        raise ConfigError("gaussian", "sigma", "> 0 pixels", got=sigma, fix="use size / 6 for a whole bell")
    offset = torch.arange(size, dtype=torch.float32) - size // 2
    bell = torch.exp(-(offset**2) / (2 * sigma**2))
    return offset, bell / bell.sum()


def demonstrate() -> str:
    """A picture that is dark on the left and bright on the right, under each kernel."""
    x = torch.tensor([[0.0, 0.0, 9.0, 9.0]] * 3)
    spot = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    bell = gaussian(3, 1.0)
    right, down = _answers(x, oriented_edge(0, 3)), _answers(x, oriented_edge(90, 3))
    return "\n\n".join(
        [
            "SOBEL   slope across the picture: 1 (9 - 0) + 2 (9 - 0) + 1 (9 - 0) = 36 at the edge",
            beside(grid(x), "*", grid(sobel("x")), "=", grid(_answers(x, sobel("x")))),
            f"down the picture nothing changes: {grid(_answers(x, sobel('y')))}",
            "LAPLACIAN   the neighbours less the centre: -4 on a bright spot, 0 + 0 + 0 + 9 - 0 = 9 beside an edge",
            beside(grid(spot), "*", grid(laplacian()), "=", grid(_answers(spot, laplacian()))),
            beside(grid(x), "*", grid(laplacian()), "=", grid(_answers(x, laplacian()))),
            "GAUSSIAN   sigma 1: the corner is the centre times e^(-1), the side e^(-1/2); their sum is 1",
            beside(grid(bell), "   the right column sums to", number(bell[:, 2].sum().item())),
            f"the edge smoothed: 9 x 0.2741 and 9 (1 - 0.2741) = {grid(_answers(x, bell))}",
            f"ORIENTED EDGE   towards 0 degrees {grid(right)}, towards 90 degrees {grid(down)}",
        ]
    )


def _answers(x: Tensor, kernel: Tensor) -> Tensor:
    """Every whole window of the picture under the kernel; what rounding leaves of 0 is 0."""
    y = torch.einsum("bcxyuv,uv->xy", windows(x[None, None], tuple(kernel.shape)), kernel)
    return torch.where(y.abs() < 1e-6, 0.0, y)


if __name__ == "__main__":
    print(demonstrate())
