"""Lp pooling: every window answers with its p-norm, between the sum (p = 1) and the maximum (p -> infinity).

    y = (sum_k |x_k|^p)^(1/p)        dL/dx_k = dL/dy sign(x_k) (|x_k| / y)^(p-1)

A window of zeros has no derivative; its gradient is taken as 0.  Powers are of |x| / max|x|, so large numbers do not
overflow.  Sermanet, Chintala and LeCun, ICPR 2012, section 2.1 (there weighted by a Gaussian).  Equal to torch's
LPPool wherever that is real, for even p and for x >= 0, but for windows that hang over the edge with ceil_mode: torch
multiplies their norm by (entries of a window / entries inside)^(1/p), here it is the norm of what is inside.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from striate.base.errors import ConfigError
from striate.calculus.pencil import beside, grid
from striate.calculus.pool_windows import Size, pool_windows


def lp_pool(
    x: Float[Tensor, "B C *spatial"],
    p: float,
    kernel_size: Size,
    *,
    stride: Size | None = None,
    ceil_mode: bool = False,
) -> Float[Tensor, "B C *out"]:
    """The p-norm of each window.

    >>> lp_pool(torch.tensor([[[3.0, -4.0]]]), 2.0, 2).tolist()
    [[[5.0]]]
    """
    _check(p)
    place = pool_windows(tuple(x.shape[2:]), kernel_size, stride=stride, ceil_mode=ceil_mode)
    return _norm(place.view(x, fill=0.0), p)


def lp_pool_pullback(
    dy: Float[Tensor, "B C *out"],
    x: Float[Tensor, "B C *spatial"],
    p: float,
    kernel_size: Size,
    *,
    stride: Size | None = None,
    ceil_mode: bool = False,
) -> Float[Tensor, "B C *spatial"]:
    """dL/dx from dL/dy; the options as given to `lp_pool`."""
    _check(p)
    place = pool_windows(tuple(x.shape[2:]), kernel_size, stride=stride, ceil_mode=ceil_mode)
    w = place.view(x, fill=0.0)  # B C *out K
    y = _norm(w, p)[..., None]
    slope = w.sign() * (w.abs() / torch.where(y > 0, y, 1)).pow(p - 1)
    return place.fold(dy[..., None] * slope)


def _norm(w: Tensor, p: float) -> Tensor:
    largest = w.abs().amax(-1, keepdim=True).detach()  # a mere scale: y does not depend on it
    silent = largest == 0
    energy = (w / torch.where(silent, 1, largest)).abs().pow(p).sum(-1, keepdim=True)
    # the root of 0 has an infinite slope, which autograd would multiply by 0: it is never taken
    return (largest * torch.where(silent, 1, energy).pow(1 / p))[..., 0]


def _check(p: float) -> None:
    if not 1 <= p < torch.inf:
        fix = "1 is the sum, 2 the root of the energy; for the maximum use max_pool"
        raise ConfigError("lp_pool", "p", ">= 1 and finite", got=p, fix=fix)


def demonstrate() -> str:
    """A 2x4 picture under 2x2 windows with p = 2, forward and backward; then other powers of the first window."""
    x = torch.tensor([[[[3.0, 0.0, 1.0, -5.0], [0.0, -4.0, 5.0, 7.0]]]])
    dy = torch.tensor([[[[10.0, 20.0]]]])
    y, dx = lp_pool(x, 2.0, 2), lp_pool_pullback(dy, x, 2.0, 2)
    first = x[..., :2]
    powers = [f"p = {p:<3g} {lp_pool(first, float(p), 2).item():.4f}" for p in (1, 2, 4, 100)]
    return "\n\n".join(
        [
            "LP POOLING   y = (sum |x|^p)^(1/p), here p = 2, windows of 2x2",
            beside(grid(x[0, 0]), "->", grid(y[0, 0])),
            "sqrt(3^2 + 0 + 0 + 4^2) = sqrt 25 = 5        sqrt(1 + 25 + 25 + 49) = sqrt 100 = 10",
            "BACKWARD   dx = dy sign(x) (|x| / y)^(p-1), here dy x / y: 10 x 3/5 = 6, 20 x -5/10 = -10",
            beside(grid(dy[0, 0]), "->", grid(dx[0, 0])),
            "FROM SUM TO MAXIMUM   the first window, 3 0 0 -4, with other powers",
            "\n".join(powers),
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
