"""What a run tells while it goes: the caller shows it, or not."""

from dataclasses import dataclass

from striate.experiment.history import EpochRow
from striate.experiment.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Started:
    """Training begins, or goes on.

    Args:
        headline: what trains on what, in one line.
        notes: what the user should know, a line each.
    """

    headline: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stepped:
    """One update was made; `batch` of `batches` in this epoch."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    images_per_second: float


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """An epoch was trained and validated.

    Args:
        row: its line of metrics.csv.
        epochs: of the whole run.
        best: whether it is the best so far.
        metric: what its score is called.
    """

    row: EpochRow
    epochs: int
    best: bool
    metric: str = "accuracy"


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is complete."""

    outcome: Outcome


Event = Started | Stepped | EpochEnded | Finished
