"""Convolution of two axes in steps of one, with fewer products: the way of the native engine for 3x3 and 5x5 kernels.

A tile of m x m outputs reads 6 x 6 pixels d, with a kernel w of k x k, m + k = 7.  Taken as polynomials, pixels and
kernel are known by their values at six points, 0, 1, -1, 2, -2 and infinity, and there a sum of k x k products is one:

    u = G w G^T        v = B^T d B        y = A^T [sum_c u v] A

36 products where the plain sum takes (m k)^2: 144 for kernels of 3, 100 for those of 5.  G and A have the powers of the
points, G divided by prod_{j != i} (p_i - p_j); B is what then makes y the convolution.  All is linear in w and in d:

    e = A dy A^T       dw = G^T [sum over tiles of e v] G        dd = B [sum_o u e] B^T

Winograd, Arithmetic Complexity of Computations, 1980; Lavin and Gray 2016, arXiv:1509.09308, sections 4.1 and 4.3.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from striate.base.errors import ConfigError
from striate.calculus.padding import pad, pad_pullback
from striate.calculus.pencil import beside, grid
from striate.calculus.windows import fold, windows

POINTS = (0.0, 1.0, -1.0, 2.0, -2.0)  # and infinity
KERNELS = (3, 5)


def transforms(kernel_size: int) -> tuple[Float[Tensor, "6 k"], Float[Tensor, "6 6"], Float[Tensor, "6 m"]]:
    """The matrices G, B and A of a kernel, in float64.

    Args:
        kernel_size: 3 or 5.

    >>> G, B, A = transforms(3)
    >>> (24 * G[3]).tolist(), B.T[0].tolist(), A.T[1].tolist()
    ([1.0, 2.0, 4.0], [4.0, 0.0, -5.0, 0.0, 1.0, 0.0], [0.0, 1.0, -1.0, 2.0, -2.0, 0.0])

    Raises:
        ConfigError: another kernel.
    """
    if kernel_size not in KERNELS:
        raise ConfigError("winograd", "kernel_size", "3 or 5", got=kernel_size, fix="conv takes any kernel")
    points = torch.tensor(POINTS, dtype=torch.float64)
    gaps = points[:, None] - points + torch.eye(5, dtype=torch.float64)  # the points' own places are 1
    G = _powers(points, kernel_size) / torch.cat([gaps.prod(1), torch.ones(1, dtype=torch.float64)])[:, None]
    return G, _pixels(), _powers(points, 7 - kernel_size)


def _powers(points: Float[Tensor, " 5"], number: int) -> Float[Tensor, "6 number"]:
    """Values of polynomials of so many coefficients; at infinity the last coefficient."""
    return torch.cat([points[:, None] ** torch.arange(number), torch.eye(number, dtype=torch.float64)[-1:]])


def _pixels() -> Float[Tensor, "6 6"]:
    """B: in its columns, of each point the product of (x - p) over the others, lowest power first."""
    columns = [_product([p for p in POINTS if p != own]) for own in POINTS] + [_product(list(POINTS))]
    return torch.stack(columns, 1)


def _product(roots: list[float]) -> Float[Tensor, " 6"]:
    made = torch.zeros(6, dtype=torch.float64)
    made[0] = 1
    for root in roots:
        made = made.roll(1) - root * made
    return made


def winograd(
    x: Float[Tensor, "B C H W"], weight: Float[Tensor, "O C k k"], *, padding: int = 0
) -> Float[Tensor, "B O P Q"]:
    """What `conv` gives for this kernel, by way of the values at the points.

    Args:
        x: pictures.
        weight: kernels, 3x3 or 5x5.
        padding: zeros around the picture.

    >>> x, w = torch.arange(36.0).view(1, 1, 6, 6), torch.ones(1, 1, 3, 3)
    >>> winograd(x, w)[0, 0, 0].round().tolist()
    [63.0, 72.0, 81.0, 90.0]
    """
    G, _, A = (matrix.to(x) for matrix in transforms(weight.shape[-1]))
    u, v = G @ weight @ G.T, _values(x, weight.shape[-1], padding)  # O C 6 6, B C tiles 6 6
    sums = torch.einsum("ocij,bcyxij->boyxij", u, v)
    tiles = A.T @ sums @ A  # B O rows columns m m
    high, wide = (n + 2 * padding - weight.shape[-1] + 1 for n in x.shape[2:])
    return tiles.transpose(3, 4).flatten(4).flatten(2, 3)[:, :, :high, :wide]


def winograd_pullback(
    dy: Float[Tensor, "B O P Q"], x: Float[Tensor, "B C H W"], weight: Float[Tensor, "O C k k"], *, padding: int = 0
) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, "O C k k"]]:
    """dL/dx and dL/dweight from dL/dy, by the same matrices transposed."""
    k = weight.shape[-1]
    G, B, A = (matrix.to(x) for matrix in transforms(k))
    u, v, side = G @ weight @ G.T, _values(x, k, padding), 7 - k
    rows, columns = v.shape[2:4]
    dy = pad(dy, ((0, rows * side - dy.shape[2]), (0, columns * side - dy.shape[3])))
    e = A @ windows(dy, side, side) @ A.T
    dweight = G.T @ torch.einsum("boyxij,bcyxij->ocij", e, v) @ G
    dd = B @ torch.einsum("ocij,boyxij->bcyxij", u, e) @ B.T
    wide = fold(dd, (rows * side + k - 1, columns * side + k - 1), side)
    return pad_pullback(wide, _pairs(x, k, padding)), dweight


def _values(x: Float[Tensor, "B C H W"], k: int, padding: int) -> Float[Tensor, "B C rows columns 6 6"]:
    """V of all tiles; those that stand over the edge see zeros there."""
    _, B, _ = transforms(k)
    B = B.to(x)
    return B.T @ windows(pad(x, _pairs(x, k, padding)), 6, 7 - k) @ B


def _pairs(x: Tensor, k: int, padding: int) -> tuple[tuple[int, int], ...]:
    """Zeros before and after on each axis, so that whole tiles cover all outputs."""
    side, sizes = 7 - k, x.shape[2:]
    return tuple((padding, padding + -(n + 2 * padding - k + 1) % side) for n in sizes)


def demonstrate() -> str:
    """One tile of 4x4 outputs of a kernel of 3x3, from pixels to values and back."""
    G, B, A = transforms(3)
    d = torch.arange(36.0, dtype=torch.float64).view(6, 6) % 7
    w = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]], dtype=torch.float64)
    u, v = G @ w @ G.T, B.T @ d @ B
    return "\n\n".join(
        [
            "WINOGRAD   a kernel of 3x3 on 6x6 pixels gives 4x4 outputs: 144 products one by one, 36 at the points",
            f"24 G\n{grid(24 * G)}",
            f"B^T\n{grid(B.T)}",
            f"A^T\n{grid(A.T)}",
            f"the kernel, and 24 u = 24 G w G^T\n{beside(grid(w), '->', grid(24 * u))}",
            f"the pixels, and v = B^T d B\n{beside(grid(d), '->', grid(v))}",
            f"y = A^T (u v) A, u v number by number\n{grid(A.T @ (u * v) @ A)}",
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
