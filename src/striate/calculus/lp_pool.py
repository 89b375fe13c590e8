"""Lp pooling: every window answers with its p-norm, between the sum (p = 1) and the maximum (p -> infinity).

    y = (sum_k |x_k|^p)^(1/p)        dL/dx_k = dL/dy sign(x_k) (|x_k| / y)^(p-1)

A window of zeros has no derivative; its gradient is taken as 0.  Powers are of |x| / max|x|, so large numbers do not
overflow.  Sermanet, Chintala and LeCun, ICPR 2012, section 2.1 (there weighted by a Gaussian).  Equal to torch's
LPPool wherever that is real: for even p, and for x >= 0.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from striate.base.errors import ConfigError
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
    scale = torch.where(largest > 0, largest, 1)
    return (scale * (w / scale).abs().pow(p).sum(-1, keepdim=True).pow(1 / p))[..., 0]


def _check(p: float) -> None:
    if not 1 <= p < torch.inf:
        fix = "1 is the sum, 2 the root of the energy; for the maximum use max_pool"
        raise ConfigError("lp_pool", "p", ">= 1 and finite", got=p, fix=fix)
