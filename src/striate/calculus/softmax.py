"""Softmax: scores become probabilities.

    p_i = e^(x_i - m) / sum_j e^(x_j - m),   m = max_j x_j         dL/dx_i = p_i (dL/dp_i - sum_j dL/dp_j p_j)

    log p_i = x_i - m - log sum_j e^(x_j - m)                      dL/dx_i = g_i - p_i sum_j g_j,  g = dL/dlog p

Adding a number to all scores changes nothing; taking the largest away lets no exponential overflow.  The Jacobian
is dp_i/dx_j = p_i ([i = j] - p_j): every probability depends on every score.  The logarithm has a formula of its own
because log(softmax(x)) is -infinity where a probability rounds to 0.  Any shape; `dim` is the axis of the classes.

Bridle 1990, "Probabilistic interpretation of feedforward classification network outputs".

`python -m striate.calculus.softmax` shows an example to check with a pencil.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def softmax(x: Float[Tensor, "*shape"], *, dim: int = -1) -> Float[Tensor, "*shape"]:
    """Probabilities: positive, with the sum 1 along `dim`.

    >>> softmax(torch.tensor([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    e = torch.exp(x - x.amax(dim, keepdim=True))
    return e / e.sum(dim, keepdim=True)


def softmax_pullback(
    dy: Float[Tensor, "*shape"], x: Float[Tensor, "*shape"], *, dim: int = -1
) -> Float[Tensor, "*shape"]:
    """dL/dx from dL/dp: each error less the mean error (weighted by p), times p."""
    p = softmax(x, dim=dim)
    return p * (dy - (dy * p).sum(dim, keepdim=True))


def log_softmax(x: Float[Tensor, "*shape"], *, dim: int = -1) -> Float[Tensor, "*shape"]:
    """The logarithm of the probabilities: finite for scores up to 1e4 apart and beyond."""
    shifted = x - x.amax(dim, keepdim=True)
    return shifted - torch.exp(shifted).sum(dim, keepdim=True).log()


def log_softmax_pullback(
    dy: Float[Tensor, "*shape"], x: Float[Tensor, "*shape"], *, dim: int = -1
) -> Float[Tensor, "*shape"]:
    """dL/dx from dL/dlog p."""
    return dy - softmax(x, dim=dim) * dy.sum(dim, keepdim=True)


def demonstrate() -> str:
    """Three scores made probabilities, and one error carried back."""
    x = torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64)
    dy = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    e, p, dx = torch.exp(x - x.max()), softmax(x), softmax_pullback(dy, x)
    rows = ["   x    x - m   e^(x-m)        p    dL/dp    dL/dx = p (dL/dp - sum)"]
    columns = zip(*(t.tolist() for t in (x, x - x.max(), e, p, dy, dx)), strict=True)
    rows += [f"{a:>4.0f} {b:>8.0f} {c:>9.4f} {d:>8.4f} {f:>8.0f} {g:>10.4f}" for a, b, c, d, f, g in columns]
    rows.append(f"sums: e^(x-m) {e.sum():.4f},  p {p.sum():.4f},  dL/dp p {(dy * p).sum():.4f}")
    rows.append("dL/dx sums to 0: adding a number to all scores changes nothing")
    return "\n".join(rows)


if __name__ == "__main__":
    print(demonstrate())
