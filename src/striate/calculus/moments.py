"""Mean and scatter of data that does not fit in memory, chunk by chunk.

    mean m = (1 / n) sum x        scatter S = sum (x - m)(x - m)^T        covariance = S / (n - 1)

    two parts a, b with d = m_b - m_a:    n = n_a + n_b
                                          m = m_a + d n_b / n
                                          S = S_a + S_b + d d^T n_a n_b / n

Everything is kept in float64, whatever the data's type, and the large sums of x^2 that cancel in E x^2 - (E x)^2 are
never made.  The order and the size of the chunks change only the last digits.  Chan, Golub and LeVeque 1979,
"Updating formulae and a pairwise algorithm for computing sample variances".
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Real, Shaped
from torch import Tensor

from striate.base.errors import DataError
from striate.calculus.pencil import beside, grid


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean and scatter of the samples seen.

    Args:
        count: n.
        mean: (F,), in the data's units.
        scatter: (F, F), or its diagonal (F,) from `marginal_moments`.
    """

    count: int
    mean: Float64[Tensor, " F"]
    scatter: Float64[Tensor, "F F"] | Float64[Tensor, " F"]


def moments(x: Real[Tensor, "N F"]) -> Moments:
    """Moments of one chunk: N samples of F features.

    Raises:
        DataError: no sample.

    >>> moments(torch.tensor([[1.0], [3.0]])).scatter
    tensor([[2.]], dtype=torch.float64)
    """
    mean, deviation = _centred(x)
    return Moments(len(x), mean, deviation.T @ deviation)


def marginal_moments(x: Real[Tensor, "N F"]) -> Moments:
    """The same without what the features have to do with each other: F numbers, not F^2, for wide data."""
    mean, deviation = _centred(x)
    return Moments(len(x), mean, deviation.square().sum(0))


def _centred(x: Tensor) -> tuple[Tensor, Tensor]:
    if not len(x):
        raise DataError("moments", "a chunk", "of one sample or more", got=0, fix="leave empty chunks out")
    x = x.double()
    mean = x.mean(0)
    return mean, x - mean


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of two parts together.

    Raises:
        DataError: parts of different features, or the moments of one and the marginal moments of the other.
    """
    if a.scatter.shape != b.scatter.shape:
        got, must = tuple(b.scatter.shape), f"of the first part's shape {tuple(a.scatter.shape)}"
        fix = "take both parts from the same features, by the same function"
        raise DataError("merge", "the second part's scatter", must, got=got, fix=fix)
    count = a.count + b.count
    gap = b.mean - a.mean
    square = torch.outer(gap, gap) if a.scatter.ndim == 2 else gap.square()
    mean = a.mean + gap * (b.count / count)
    return Moments(count, mean, a.scatter + b.scatter + square * (a.count * b.count / count))


def streamed(chunks: Iterable[Real[Tensor, "_ F"]], each: Callable[[Tensor], Moments] = moments) -> Moments:
    """Moments of all chunks, of which one at a time is in memory.

    Args:
        chunks: of any sizes.
        each: `moments`, or `marginal_moments` for wide data.

    Raises:
        DataError: no chunk.
    """
    total: Moments | None = None
    for chunk in chunks:
        total = each(chunk) if total is None else merge(total, each(chunk))
    if total is None:
        raise DataError("streamed", "the data", "one chunk or more", got=0, fix="an iterator can be read once only")
    return total


def covariance(m: Moments) -> Float64[Tensor, "F F"] | Float64[Tensor, " F"]:
    """S / (n - 1), the estimate without bias; the variances alone of marginal moments.

    Raises:
        DataError: fewer than two samples.
    """
    if m.count < 2:
        raise DataError("covariance", "the samples", "two or more", got=m.count, fix="fit on the whole training split")
    return m.scatter / (m.count - 1)


def pixel_rows(pictures: Shaped[Tensor, "B C *rest"]) -> Shaped[Tensor, "N C"]:
    """Pictures as samples of C colours, one a pixel: (B, C, H, W) -> (B H W, C)."""
    return pictures.movedim(1, -1).reshape(-1, pictures.shape[1])


def demonstrate() -> str:
    """Five samples in two chunks: the moments of each, merged, against those of all at once."""
    x = torch.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 1.0], [7.0, 5.0], [9.0, 6.0]])
    a, b = moments(x[:2]), moments(x[2:])
    both, whole = merge(a, b), moments(x)
    gap = b.mean - a.mean
    correction = torch.outer(gap, gap) * (a.count * b.count / both.count)
    return "\n\n".join(
        [
            "MOMENTS   of two features, chunk by chunk: count n, mean m, scatter S = sum (x - m)(x - m)^T",
            beside("a:", grid(x[:2]), f"   n = {a.count}   m = {grid(a.mean)}   S =", grid(a.scatter)),
            beside("b:", grid(x[2:]), f"   n = {b.count}   m = {grid(b.mean)}   S =", grid(b.scatter)),
            f"MERGED   d = m_b - m_a = {grid(gap)}",
            f"m = m_a + d 3/5 = {grid(both.mean)}",
            beside("S =", grid(a.scatter), "+", grid(b.scatter), "+ 6/5 d d^T =", grid(both.scatter)),
            beside("6/5 d d^T =", grid(correction)),
            beside("all five at once: S =", grid(whole.scatter), "   covariance = S / 4 =", grid(covariance(both))),
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
