"""How well the labels of pictures are told, each a question of yes or no: yes where the logit is above 0.

    precision = TP / (TP + FP)    recall = TP / (TP + FN)    F1 = 2 TP / (2 TP + FP + FN)
    f1 = the mean of the labels' F1            subset accuracy = share of samples with every label right

A label that is neither there nor told has no F1 and no part in the mean.  Tsoumakas and Katakis 2007, "Multi-label
classification: an overview".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from striate.evaluate.plain import number, plain


@dataclass(frozen=True, slots=True)
class LabelResult:
    """One label: precision, recall and F1 in [0, 1], None where there is nothing to divide by.

    Args:
        count: samples that have it.
        told: samples that it was told of.
    """

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    count: int
    told: int


@dataclass(frozen=True, slots=True)
class Multilabel:
    """The result on one split.

    Args:
        f1: mean of the labels' F1 (macro F1), in [0, 1].
        subset_accuracy: share of samples with every label right, in [0, 1].
        loss: mean binary cross-entropy of all questions, in nats.
        count: samples.
        per_label: one entry a label, in their order.
    """

    f1: float
    subset_accuracy: float
    loss: float
    count: int
    per_label: tuple[LabelResult, ...]

    @property
    def metric(self) -> str:
        """What the score is called."""
        return "f1"

    @property
    def score(self) -> float:
        """Macro F1."""
        return self.f1

    def headline(self) -> dict[str, Any]:
        """F1, and how often everything is right."""
        return {name: self.as_dict()[name] for name in ("f1", "subset_accuracy")}

    def told(self) -> str:
        """The same for people."""
        return f"F1 {self.f1:.4f}, every label right {self.subset_accuracy:.4f}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return plain(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Multilabel":
        """The inverse of `as_dict`."""
        labels = tuple(LabelResult(**entry) for entry in values["per_label"])
        return cls(**{**values, "f1": number(values["f1"]), "loss": number(values["loss"]), "per_label": labels})


def multilabel(
    logits: Float[Tensor, "N labels"], targets: Float[Tensor, "N labels"], labels: tuple[str, ...]
) -> Multilabel:
    """Judge logits against labels that are 0 or 1.  N >= 1."""
    told, true = logits > 0, targets > 0.5
    per_label = tuple(_label(name, told[:, i], true[:, i]) for i, name in enumerate(labels))
    known = [entry.f1 for entry in per_label if entry.f1 is not None]
    return Multilabel(
        f1=sum(known) / len(known) if known else nan,
        subset_accuracy=int((told == true).all(1).sum()) / len(targets),
        loss=F.binary_cross_entropy_with_logits(logits.double(), targets.double()).item(),
        count=len(targets),
        per_label=per_label,
    )


def _label(name: str, told: Bool[Tensor, " N"], true: Bool[Tensor, " N"]) -> LabelResult:
    hit, yes, count = int((told & true).sum()), int(told.sum()), int(true.sum())
    return LabelResult(
        name=name,
        precision=hit / yes if yes else None,
        recall=hit / count if count else None,
        f1=2 * hit / (yes + count) if yes + count else None,
        count=count,
        told=yes,
    )
