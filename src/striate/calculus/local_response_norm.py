"""Local response normalisation across channels: strong neighbours damp a channel's answer.

    y_i = x_i / d_i^beta        d_i = k + alpha sum_j A_ij x_j^2

    dL/dx_j = dL/dy_j d_j^-beta - 2 alpha beta x_j sum_i A_ij dL/dy_i x_i d_i^(-beta-1)

A is the band matrix of the n channels around i: A_ij = 1 for i - n//2 <= j <= i + (n-1)//2, so near the first and last
channel the sum is over fewer.  The backward sum runs over the transpose of A.

Which alpha: in the paper (Krizhevsky, Sutskever and Hinton, NIPS 2012, section 3.3: k = 2, n = 5, alpha = 1e-4,
beta = 0.75) alpha multiplies the sum, and so it does here.  In torch alpha multiplies the sum divided by n, so torch's
`LocalResponseNorm(5, alpha=5e-4)` is the paper's alpha = 1e-4: see `alpha_of_sum`.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from striate.base.errors import ConfigError


def local_response_norm(
    x: Float[Tensor, "B C *spatial"], size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0
) -> Float[Tensor, "B C *spatial"]:
    """Divide every number by a power of its neighbourhood's energy across channels.

    Args:
        x: feature maps.
        size: n, the channels of a neighbourhood.
        alpha: coefficient of the sum of squares (the paper's; torch's is n times as large).
        beta: exponent.
        k: what a silent neighbourhood is divided by, to the power beta; > 0.
    """
    return x * _energy(x, size, alpha, k) ** -beta


def local_response_norm_pullback(
    dy: Float[Tensor, "B C *spatial"],
    x: Float[Tensor, "B C *spatial"],
    size: int,
    *,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 2.0,
) -> Float[Tensor, "B C *spatial"]:
    """dL/dx from dL/dy."""
    d = _energy(x, size, alpha, k)
    spread = torch.einsum("ij,bi...->bj...", band(size, x), dy * x * d ** (-beta - 1))
    return dy * d**-beta - 2 * alpha * beta * x * spread


def alpha_of_sum(alpha_of_mean: float, size: int) -> float:
    """Torch's alpha, the coefficient of the mean over n, as the paper's, the coefficient of the sum."""
    return alpha_of_mean / size


def band(size: int, x: Float[Tensor, "B C *spatial"]) -> Float[Tensor, "C C"]:
    """A_ij = 1 where channel j is in the neighbourhood of channel i, with the type and device of x."""
    if size < 1:
        raise ConfigError("local_response_norm", "size", ">= 1 channel", got=size, fix="the paper takes 5")
    C = x.shape[1]
    return torch.ones(C, C, dtype=x.dtype, device=x.device).triu(-(size // 2)).tril((size - 1) // 2)


def _energy(x: Tensor, size: int, alpha: float, k: float) -> Tensor:
    return k + alpha * torch.einsum("ij,bj...->bi...", band(size, x), x**2)


def demonstrate() -> str:
    """Three channels of one pixel, n = 3, with numbers that a pencil can follow."""
    x = torch.tensor([[1.0, 2.0, 2.0]], dtype=torch.float64)
    options = {"alpha": 1.0, "beta": 0.5, "k": 0.0}
    y = local_response_norm(x, 3, **options)
    dx = local_response_norm_pullback(torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64), x, 3, **options)
    return "\n".join(
        [
            "Local response normalisation of x = 1 2 2, n = 3, alpha = 1, beta = 1/2 (a square root), k = 0",
            "  d_1 =     1² + 2² = 5",
            "  d_2 = 1² + 2² + 2² = 9",
            "  d_3 = 2² + 2²      = 8",
            f"  y = 1/√5, 2/√9, 2/√8 = {y[0, 0]:.6f} {y[0, 1]:.6f} {y[0, 2]:.6f}",
            "Backward for dL/dy = 1 0 0: only d_1 matters, and x_3 is not in it",
            f"  dL/dx_1 = 1/√5 - 1·1/√5³ = {dx[0, 0]:.6f}",
            f"  dL/dx_2 =      - 2·1/√5³ = {dx[0, 1]:.6f}",
            f"  dL/dx_3 = {abs(dx[0, 2]):.6f}",
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
