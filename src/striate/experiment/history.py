"""What a run has seen so far: one row an epoch, and the sums of the epoch under way."""

import csv
import io
import math
from dataclasses import asdict, astuple, dataclass, field, fields
from pathlib import Path
from typing import Any

from striate.base.errors import ModelFileError


@dataclass(frozen=True, slots=True)
class EpochRow:
    """One line of metrics.csv.

    Args:
        epoch: 1 for the first.
        step: updates made at its end.
        seconds: of training and validation since the run began, pauses left out.
        lr: of the epoch's last update.
        train_loss: mean over the epoch's pictures as they were trained on, augmentation and dropout included.
        validation_loss: mean of the task's loss; cross-entropy is in nats.
        validation_score: the task's figure of merit, larger is better; NaN where there is none.
        images_per_second: training alone.
    """

    epoch: int
    step: int
    seconds: float
    lr: float
    train_loss: float
    validation_loss: float
    validation_score: float
    images_per_second: float

    @property
    def rank(self) -> tuple[float, float]:
        """Larger is better: score, then the smaller loss; NaN is worst."""
        if math.isnan(self.validation_loss):
            return (-math.inf, -math.inf)
        score = -math.inf if math.isnan(self.validation_score) else self.validation_score
        return (score, -self.validation_loss)


@dataclass(frozen=True, slots=True)
class Speeds:
    """What went through in some time, and how much of the time was waiting for pictures.

    Args:
        pictures: trained on.
        seconds: of the updates, waiting included.
        waited: seconds of these without a batch to train on.
    """

    pictures: int
    seconds: float
    waited: float

    @property
    def share(self) -> float:
        """Of the time, spent waiting; in [0, 1]."""
        return min(1.0, self.waited / self.seconds) if self.seconds > 0 else 0.0

    @property
    def overall(self) -> float:
        """Pictures a second, as it was."""
        return self.pictures / self.seconds if self.seconds > 0 else 0.0

    @property
    def network(self) -> float:
        """Pictures a second, had there always been a batch."""
        busy = self.seconds - self.waited
        return self.pictures / busy if busy > 0 else 0.0


def columns(metric: str) -> list[str]:
    """The header of metrics.csv, where the score has the name of what it is.

    >>> columns("r2")[-2:]
    ['validation_r2', 'images_per_second']
    """
    return [f"validation_{metric}" if f.name == "validation_score" else f.name for f in fields(EpochRow)]


def _comparable(row: EpochRow) -> float:
    """The score; where the task has none the loss stands for it, and without that nothing is worse."""
    if math.isnan(row.validation_loss):
        return -math.inf
    return -row.validation_loss if math.isnan(row.validation_score) else row.validation_score


@dataclass(slots=True)
class History:
    """Rows of finished epochs and the sums of the one under way.

    Args:
        rows: finished epochs.
        loss_sum: of the pictures seen in this epoch.
        images: seen in this epoch.
        train_seconds: of this epoch's updates, waiting for pictures included.
        seconds: of the whole run.
        lost: epochs whose checkpoint was found damaged; they cannot be the best.
        metric: what the validation score is called: accuracy, r2, iou, ...
        waited: seconds of this epoch's updates without a batch to train on.
    """

    rows: list[EpochRow] = field(default_factory=list)
    loss_sum: float = 0.0
    images: int = 0
    train_seconds: float = 0.0
    seconds: float = 0.0
    lost: list[int] = field(default_factory=list)
    metric: str = "accuracy"
    waited: float = 0.0

    @property
    def best(self) -> EpochRow | None:
        """The best epoch so far; the earlier one on ties."""
        whole = (row for row in self.rows if row.epoch not in self.lost)
        return max(whole, key=lambda row: row.rank, default=None)

    @property
    def scores(self) -> list[float]:
        """Of the finished epochs, in their order: what schedule and stopping look at."""
        return [_comparable(row) for row in self.rows]

    @property
    def speeds(self) -> Speeds:
        """Of the epoch under way."""
        return Speeds(self.images, self.train_seconds, self.waited)

    @property
    def images_per_second(self) -> float:
        """Of the epoch under way."""
        return self.speeds.overall

    def add_batch(self, loss: float, images: int, seconds: float, waited: float = 0.0) -> None:
        """Count one update, which took `seconds`, the first `waited` of them without its batch."""
        self.loss_sum += loss * images
        self.images += images
        self.train_seconds += seconds
        self.waited += waited
        self.seconds += seconds

    def end_epoch(self, *, step: int, lr: float, validation_loss: float, validation_score: float) -> EpochRow:
        """Close the epoch under way."""
        row = EpochRow(
            epoch=len(self.rows) + 1,
            step=step,
            seconds=self.seconds,
            lr=lr,
            train_loss=self.loss_sum / self.images,
            validation_loss=validation_loss,
            validation_score=validation_score,
            images_per_second=self.images_per_second,
        )
        self.rows.append(row)
        self.loss_sum, self.images, self.train_seconds, self.waited = 0.0, 0, 0.0, 0.0
        return row

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint; Python writes floats so that they read back exactly."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "History":
        """The inverse of `as_dict`."""
        return cls(**{**values, "rows": [EpochRow(**row) for row in values["rows"]]})

    def as_csv(self) -> str:
        """metrics.csv."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns(self.metric))
        writer.writerows(astuple(row) for row in self.rows)
        return text.getvalue()


def read_metrics(text: str) -> History:
    """The finished epochs of a metrics.csv, which is the inverse of `History.as_csv`.

    Raises:
        ValueError: it is not one.
    """
    lines = csv.reader(io.StringIO(text))
    score = [f.name for f in fields(EpochRow)].index("validation_score")
    header = next(lines, [])
    metric = header[score].removeprefix("validation_") if len(header) > score else ""
    if header != columns(metric):
        raise ValueError(f"no metrics.csv: {header}")
    try:
        rows = [EpochRow(int(epoch), int(step), *map(float, rest)) for epoch, step, *rest in lines]
    except TypeError as error:
        raise ValueError("no metrics.csv: a line of another length") from error
    return History(rows=rows, metric=metric)


def metrics_of(folder: Path) -> History:
    """The finished epochs that the run of a folder has written down; none where it has not begun to.

    Raises:
        ModelFileError: its metrics.csv is not one.
    """
    path = folder / "metrics.csv"
    try:
        return read_metrics(path.read_text()) if path.exists() else History()
    except ValueError as error:
        fix = "`striate resume` the run: with the next epoch it is written anew"
        raise ModelFileError("run", str(path), "as the run wrote it", got=str(error), fix=fix) from error
