"""Mean squared error.

    L = (1 / n) sum_i (y_i - t_i)^2        dL/dy_i = dL (2 / n) (y_i - t_i)

The factor: n is the number of all elements, batch times outputs, as in torch, and there is no 1/2.  Textbooks also
write (1/2) sum_i (y_i - t_i)^2 for one sample, so that the 2 of the derivative goes away: for C outputs that is
C / 2 times this mean.  Any shape; `sum` leaves the 1 / n out, `none` keeps the squares.

Bishop 1995, "Neural Networks for Pattern Recognition", section 6.1.

`python -m striate.calculus.mean_squared_error` shows an example to check with a pencil.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from striate.calculus.reduction import check_same_shape, reduce, reduce_pullback


def mean_squared_error(
    y: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, reduction: str = "mean"
) -> Float[Tensor, "..."]:
    """The mean (or the sum, or each) of the squared differences.

    Raises:
        ConfigError: the shapes differ, or the reduction is not one.

    >>> float(mean_squared_error(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0])))
    2.0
    """
    check_same_shape("mean_squared_error", y, target)
    return reduce((y - target).square(), reduction, y.numel())


def mean_squared_error_pullback(
    dy: Float[Tensor, "..."],
    y: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    reduction: str = "mean",
) -> Float[Tensor, "*shape"]:
    """dL/dy; the target's is the same with the other sign."""
    check_same_shape("mean_squared_error", y, target)
    return reduce_pullback(dy, reduction, y.numel()) * 2 * (y - target)


def demonstrate() -> str:
    """Probabilities against a one-hot target."""
    y = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    target = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    dy = mean_squared_error_pullback(torch.ones((), dtype=torch.float64), y, target)
    lines = ["   y     t   y - t   squared   dL/dy = 2/3 (y - t)"]
    columns = zip(*(v.tolist() for v in (y, target, y - target, (y - target).square(), dy)), strict=True)
    lines += [f"{a:>4.1f}  {b:>4.0f}  {c:>6.1f}  {d:>8.2f}  {e:>8.4f}" for a, b, c, d, e in columns]
    total, mean = (float(mean_squared_error(y, target, reduction=kind)) for kind in ("sum", "mean"))
    lines.append(f"sum {total:.2f};  mean {total:.2f} / 3 = {mean:.4f};  with the textbooks' 1/2: {total / 2:.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(demonstrate())
