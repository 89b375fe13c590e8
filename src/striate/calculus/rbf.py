"""Radial basis units: how far an input is from the code of each class.

    y_i = sum_j (x_j - c_ij)^2        dL/dx_j = sum_i 2 dL/dy_i (x_j - c_ij)        dL/dc_ij = -2 dL/dy_i (x_j - c_ij),
                                                                                    summed over the batch

The class is the one with the smallest output, not the largest.  LeNet-5 ends so, with codes of -1 and 1 drawn as
pictures of the characters: LeCun et al. 1998, "Gradient-based learning", equation 7.

Shapes: x (B, F), codes (C, F), y (B, C).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from striate.calculus.pencil import beside, grid


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


def demonstrate() -> str:
    """One input and the codes of three classes, forward and backward."""
    x = torch.tensor([[1.0, 0.0, -1.0]])
    codes = torch.tensor([[1.0, 1.0, -1.0], [-1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]])
    dy = torch.tensor([[1.0, 0.0, -1.0]])
    dx, dcodes = rbf_pullback(dy, x, codes)
    return "\n\n".join(
        [
            "RADIAL BASIS UNITS   y = the squared distance from x to the code of each class",
            beside("x =", grid(x), "   codes =", grid(codes)),
            "class 0: (1-1)^2 + (0-1)^2 + (-1+1)^2 = 0 + 1 + 0 = 1\n"
            "class 1: (1+1)^2 + (0-1)^2 + (-1-1)^2 = 4 + 1 + 4 = 9\n"
            "class 2: (1+1)^2 + (0+1)^2 + (-1+1)^2 = 4 + 1 + 0 = 5",
            f"y = {grid(rbf(x, codes))}    the smallest is the answer: class {rbf(x, codes).argmin().item()}",
            f"BACKWARD   dy = {grid(dy)}: nearer to class 0, further from class 2",
            "2 dy (x - c), class 0: 2 (0 -1 0) = 0 -2 0;  class 2: -2 (2 1 0) = -4 -2 0\n\n"
            f"dx = their sum = {grid(dx)}",
            beside("dcodes = the same with the sign turned, one row a class =", grid(dcodes)),
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
