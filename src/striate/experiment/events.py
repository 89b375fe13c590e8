"""What a run tells while it goes: the caller shows it, or not."""

from dataclasses import dataclass

from striate.experiment.history import EpochRow, Speeds
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
    """One update was made.

    Args:
        epoch: of `epochs`, from 1.
        epochs: of the whole run.
        batch: of `batches`, from 1.
        batches: of every epoch.
        loss: mean over the batch.
        images_per_second: of this epoch so far.
        lr: learning rate of this update.
        waited: share of this epoch's time so far that was spent waiting for pictures, in [0, 1].
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    images_per_second: float
    lr: float = 0.0
    waited: float = 0.0

    @property
    def step(self) -> int:
        """Updates made since the run began."""
        return (self.epoch - 1) * self.batches + self.batch


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """An epoch was trained and validated.

    Args:
        row: its line of metrics.csv.
        epochs: of the whole run.
        best: whether it is the best so far.
        metric: what its score is called.
        speeds: of its updates; None where nobody measured.
        peak_memory: the most bytes taken so far, of the GPU where it trains on one, else of the process; 0 is unknown.
    """

    row: EpochRow
    epochs: int
    best: bool
    metric: str = "accuracy"
    speeds: Speeds | None = None
    peak_memory: int = 0


@dataclass(frozen=True, slots=True)
class Noted:
    """Something to know came up under way."""

    note: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is complete."""

    outcome: Outcome


Event = Started | Stepped | EpochEnded | Noted | Finished
