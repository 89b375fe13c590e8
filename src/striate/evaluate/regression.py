"""How well numbers are predicted.

    R2 = 1 - sum (t - y)^2 / sum (t - mean t)^2        MAE = mean |t - y|        RMSE = sqrt(mean (t - y)^2)

each of one number over all samples; R2 of several numbers is the mean of theirs.  R2 is 1 where every prediction is
right, 0 where they are as good as the mean, below 0 where they are worse.  A number that never changes has no R2.
Draper and Smith 1998, "Applied Regression Analysis", section 1.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan, sqrt
from typing import Any

from jaxtyping import Float
from torch import Tensor

from striate.evaluate.plain import number, plain


@dataclass(frozen=True, slots=True)
class NumberResult:
    """One predicted number.

    Args:
        name: its name.
        r2: share of the variance that is explained, at most 1; None where the number never changes.
        mae: mean absolute error, in the number's units.
        rmse: root of the mean squared error, in the number's units.
        mean: of the true values, to hold the errors against.
    """

    name: str
    r2: float | None
    mae: float
    rmse: float
    mean: float


@dataclass(frozen=True, slots=True)
class Regression:
    """The result on one split.

    Args:
        r2: mean of the numbers' R2.
        mae: mean of the numbers' MAE.
        rmse: root of the mean of the numbers' squared errors.
        loss: mean of what was minimised, in its own units.
        count: samples.
        per_number: one entry a number, in their order.
    """

    r2: float
    mae: float
    rmse: float
    loss: float
    count: int
    per_number: tuple[NumberResult, ...]

    @property
    def metric(self) -> str:
        """What the score is called."""
        return "r2"

    @property
    def score(self) -> float:
        """R2."""
        return self.r2

    def headline(self) -> dict[str, Any]:
        """R2 and the errors."""
        return {name: self.as_dict()[name] for name in ("r2", "mae", "rmse")}

    def told(self) -> str:
        """The same for people."""
        return f"R2 {self.r2:.4f}, mean absolute error {self.mae:.4g}, RMSE {self.rmse:.4g}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return plain(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Regression":
        """The inverse of `as_dict`."""
        numbers = tuple(NumberResult(**entry) for entry in values["per_number"])
        figures = {name: number(values[name]) for name in ("r2", "mae", "rmse", "loss")}
        return cls(**figures, count=values["count"], per_number=numbers)


def regression(
    predicted: Float[Tensor, "N K"], targets: Float[Tensor, "N K"], names: tuple[str, ...], *, loss: float
) -> Regression:
    """Judge predictions, N >= 1.

    Args:
        predicted: in the units of the data.
        targets: what is true, in the same units.
        names: of the numbers.
        loss: mean of what was minimised over the same samples.
    """
    y, t = predicted.double(), targets.double()
    numbers = tuple(_number(name, y[:, i], t[:, i]) for i, name in enumerate(names))
    known = [entry.r2 for entry in numbers if entry.r2 is not None]
    return Regression(
        r2=sum(known) / len(known) if known else nan,
        mae=(t - y).abs().mean().item(),
        rmse=sqrt((t - y).square().mean().item()),
        loss=loss,
        count=len(t),
        per_number=numbers,
    )


def _number(name: str, y: Float[Tensor, " N"], t: Float[Tensor, " N"]) -> NumberResult:
    error, spread = (t - y).square().sum().item(), (t - t.mean()).square().sum().item()
    return NumberResult(
        name=name,
        r2=1 - error / spread if bool((t != t[0]).any()) else None,  # rounding makes a constant's spread not quite 0
        mae=(t - y).abs().mean().item(),
        rmse=sqrt(error / len(t)),
        mean=t.mean().item(),
    )
