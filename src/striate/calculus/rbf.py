"""Radial basis units: how far an input is from the code of each class.

    y_i = sum_j (x_j - c_ij)^2        dL/dx_j = sum_i 2 dL/dy_i (x_j - c_ij)        dL/dc_ij = -2 dL/dy_i (x_j - c_ij),
                                                                                    summed over the batch

The class is the one with the smallest output, not the largest.  LeNet-5 ends so, with codes of -1 and 1 drawn as
pictures of the characters: LeCun et al. 1998, "Gradient-based learning", equation 7.

Shapes: x (B, F), codes (C, F), y (B, C).
"""

from jaxtyping import Float
from torch import Tensor


def rbf(x: Float[Tensor, "B F"], codes: Float[Tensor, "C F"]) -> Float[Tensor, "B C"]:
    """The squared distance of every input to every code."""
    return _gaps(x, codes).square().sum(2)


def rbf_pullback(
    dy: Float[Tensor, "B C"], x: Float[Tensor, "B F"], codes: Float[Tensor, "C F"]
) -> tuple[Float[Tensor, "B F"], Float[Tensor, "C F"]]:
    """dL/dx and dL/dcodes from dL/dy."""
    terms = 2 * dy[..., None] * _gaps(x, codes)  # B C F
    return terms.sum(1), -terms.sum(0)


def _gaps(x: Tensor, codes: Tensor) -> Tensor:
    """All x - c, (B, C, F); the expanded square |x|^2 - 2 x.c + |c|^2 would lose the digits of small distances."""
    return x[:, None] - codes
