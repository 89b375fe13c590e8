"""How good a classifier is: every number from the logits of every picture, none from batch means.

    accuracy a = correct / n      interval: Wilson's score, 95 %
    a_w = (a + z^2/2n) / (1 + z^2/n)      half = z sqrt(a(1-a)/n + z^2/4n^2) / (1 + z^2/n)      z = 1.96
    precision = TP / (TP + FP)    recall = TP / (TP + FN)    F1 = 2 TP / (2 TP + FP + FN)

Wilson 1927, JASA 22:209; unlike a +- z sqrt(a(1-a)/n) it stays in [0, 1] and holds near 1.
"""

from dataclasses import asdict, dataclass
from math import isfinite, sqrt
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

Z = 1.959963984540054  # 97.5 % point of the normal distribution


@dataclass(frozen=True, slots=True)
class ClassResult:
    """One class: precision, recall and F1 in [0, 1], None where there is nothing to divide by."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    count: int


@dataclass(frozen=True, slots=True)
class Classification:
    """A classifier's result on one split.

    Args:
        accuracy: share of pictures whose largest logit is their class, in [0, 1].
        interval: 95 % confidence interval of the accuracy.
        loss: mean cross-entropy in nats, without smoothing or weights.
        count: pictures.
        per_class: one entry a class, in the order of the class numbers.
        confusion: confusion[true][predicted] = pictures.
    """

    accuracy: float
    interval: tuple[float, float]
    loss: float
    count: int
    per_class: tuple[ClassResult, ...]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def metric(self) -> str:
        """The name of the score."""
        return "accuracy"

    @property
    def score(self) -> float:
        """What epochs are compared by."""
        return self.accuracy

    def headline(self) -> dict[str, Any]:
        """Accuracy and its interval."""
        return {"accuracy": self.accuracy, "interval": list(self.interval)}

    def told(self) -> str:
        """The same for people."""
        low, high = self.interval
        return f"accuracy {self.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f})"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which has no NaN: such a loss is None."""
        return {**asdict(self), "loss": self.loss if isfinite(self.loss) else None}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Classification":
        """The inverse of `as_dict`."""
        low, high = values["interval"]
        return cls(
            accuracy=float(values["accuracy"]),
            interval=(float(low), float(high)),
            loss=float("nan") if values["loss"] is None else float(values["loss"]),
            count=int(values["count"]),
            per_class=tuple(ClassResult(**entry) for entry in values["per_class"]),
            confusion=tuple(tuple(row) for row in values["confusion"]),
        )


def wilson(correct: int, count: int) -> tuple[float, float]:
    """95 % interval of a share.

    >>> [round(end, 4) for end in wilson(98, 100)]
    [0.93, 0.9945]
    """
    share, spread = correct / count, Z**2 / count
    centre = (share + spread / 2) / (1 + spread)
    half = Z * sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))  # rounding could cross an end


def classification(
    logits: Float[Tensor, "N classes"], labels: Int[Tensor, "N"], classes: tuple[str, ...]
) -> Classification:
    """Judge logits against labels; ties go to the lower class number.  N >= 1."""
    predicted = logits.argmax(1)
    count, k = len(labels), len(classes)
    confusion = torch.bincount(labels * k + predicted, minlength=k * k).reshape(k, k)
    correct = int(confusion.trace())
    return Classification(
        accuracy=correct / count,
        interval=wilson(correct, count),
        loss=F.cross_entropy(logits.double(), labels).item(),
        count=count,
        per_class=tuple(_class_result(name, number, confusion) for number, name in enumerate(classes)),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def _class_result(name: str, number: int, confusion: Int[Tensor, "classes classes"]) -> ClassResult:
    hit = int(confusion[number, number])
    true, predicted = int(confusion[number].sum()), int(confusion[:, number].sum())
    return ClassResult(
        name=name,
        precision=hit / predicted if predicted else None,
        recall=hit / true if true else None,
        f1=2 * hit / (true + predicted) if true + predicted else None,
        count=true,
    )
