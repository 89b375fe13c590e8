"""How well the class of every pixel is told.

    IoU of a class = TP / (TP + FP + FN), over the pixels of all pictures together
    iou = the mean over the classes            pixel accuracy = right pixels / pixels

A class that is neither there nor told has no IoU and no part in the mean.  Everingham et al. 2010, "The PASCAL visual
object classes challenge", IJCV 88:303, section 4.

The logits of all pixels of all pictures would not fit into memory, so pixels are counted batch by batch; counts add up
exactly, over batches and over processes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import nan
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor
from torch.nn import functional as F

from striate.evaluate.plain import number, plain


class PixelCounts(NamedTuple):
    """What was seen of some pictures; those of others add to it, number by number.

    Args:
        confusion: confusion[true][told] = pixels.
        loss: sum of the pixels' cross-entropy, in nats.
        pictures: how many.
    """

    confusion: Int[Tensor, "classes classes"]
    loss: Float64[Tensor, ""]
    pictures: Int[Tensor, ""]


@dataclass(frozen=True, slots=True)
class PixelClassResult:
    """One class: its IoU and recall in [0, 1], None where there is nothing to divide by; `count` in pixels."""

    name: str
    iou: float | None
    recall: float | None
    count: int


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The result on one split.

    Args:
        iou: mean of the classes' IoU, in [0, 1].
        pixel_accuracy: share of pixels whose largest logit is their class, in [0, 1].
        loss: mean cross-entropy of a pixel in nats, without weights.
        count: pictures.
        per_class: one entry a class, in the order of the class numbers.
        confusion: confusion[true][told] = pixels.
    """

    iou: float
    pixel_accuracy: float
    loss: float
    count: int
    per_class: tuple[PixelClassResult, ...]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def metric(self) -> str:
        """What the score is called."""
        return "iou"

    @property
    def score(self) -> float:
        """Mean IoU."""
        return self.iou

    def headline(self) -> dict[str, Any]:
        """Mean IoU and pixel accuracy."""
        return {name: self.as_dict()[name] for name in ("iou", "pixel_accuracy")}

    def told(self) -> str:
        """The same for people."""
        return f"mean IoU {self.iou:.4f}, pixel accuracy {self.pixel_accuracy:.4f}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return plain(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Segmentation":
        """The inverse of `as_dict`."""
        per_class = tuple(PixelClassResult(**entry) for entry in values["per_class"])
        figures = {name: number(values[name]) for name in ("iou", "pixel_accuracy", "loss")}
        confusion = tuple(tuple(row) for row in values["confusion"])
        return cls(**figures, count=values["count"], per_class=per_class, confusion=confusion)


def count_pixels(logits: Float[Tensor, "B classes *size"], masks: Int[Tensor, "B *size"]) -> PixelCounts:
    """Count the pixels of a batch; ties go to the lower class number."""
    k, told = logits.shape[1], logits.argmax(1)
    return PixelCounts(
        confusion=torch.bincount((masks * k + told).flatten(), minlength=k * k).reshape(k, k),
        loss=F.cross_entropy(logits.double(), masks, reduction="sum"),
        pictures=torch.tensor(len(masks), device=logits.device),
    )


def add_up(counts: Iterable[PixelCounts]) -> PixelCounts:
    """What was seen of all pictures; at least one batch."""
    confusion, loss, pictures = zip(*counts, strict=True)
    return PixelCounts(torch.stack(confusion).sum(0), torch.stack(loss).sum(), torch.stack(pictures).sum())


def segmentation(counts: PixelCounts, classes: tuple[str, ...]) -> Segmentation:
    """Judge what was counted; at least one pixel."""
    confusion = counts.confusion.cpu()
    pixels = int(confusion.sum())
    per_class = tuple(_class_result(name, number, confusion) for number, name in enumerate(classes))
    known = [entry.iou for entry in per_class if entry.iou is not None]
    return Segmentation(
        iou=sum(known) / len(known) if known else nan,
        pixel_accuracy=int(confusion.trace()) / pixels,
        loss=float(counts.loss) / pixels,
        count=int(counts.pictures),
        per_class=per_class,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def _class_result(name: str, number: int, confusion: Int[Tensor, "classes classes"]) -> PixelClassResult:
    hit = int(confusion[number, number])
    true, told = int(confusion[number].sum()), int(confusion[:, number].sum())
    either = true + told - hit
    return PixelClassResult(
        name=name, iou=hit / either if either else None, recall=hit / true if true else None, count=true
    )
