"""What every task's result has, so that epochs can be compared and runs summed up."""

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Result(Protocol):
    """How good a network is on one split."""

    @property
    def metric(self) -> str:
        """What the score is called: accuracy, f1, r2, iou, ..."""

    @property
    def score(self) -> float:
        """Larger is better; NaN where there is none."""

    @property
    def loss(self) -> float:
        """Mean loss over the samples, without smoothing or weights."""

    @property
    def count(self) -> int:
        """Samples."""

    def headline(self) -> dict[str, Any]:
        """The figures to sum it up by, the score first, under the metric's name."""

    def told(self) -> str:
        """The same for people, in part of a line."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
