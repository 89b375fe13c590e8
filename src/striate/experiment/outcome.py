"""What a finished run comes to."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from striate.deploy.predictor import Picture, Prediction, Predictor, load
from striate.evaluate.result import Result
from striate.experiment.tasks.catalogue import RESULTS


@dataclass(frozen=True)
class Outcome:
    """A finished run.

    Args:
        path: its folder.
        task: what was learnt.
        epochs: passes made.
        train_seconds: training and validation, pauses left out.
        validation_score: of the best epoch, in the measure of the task, such as accuracy in [0, 1].
        test: the best epoch's result on pictures that chose nothing.
        parameters: trainable numbers of the network.
        own_file: FILE.py:NAME of the network, where the recipe names one; prediction runs it.
    """

    path: Path
    task: str
    epochs: int
    train_seconds: float
    validation_score: float
    test: Result
    parameters: int
    own_file: str | None = None

    @cached_property
    def model(self) -> Predictor:
        """The trained predictor."""
        return load(self.path, model=self.own_file)

    def predict(self, picture: Picture, top: int = 5) -> Prediction:
        """Classify one picture with the trained network."""
        return self.model.predict(picture, top)

    @property
    def validation_accuracy(self) -> float:
        """The validation score, of a run that sorts samples into classes."""
        return self.validation_score

    def as_dict(self) -> dict[str, Any]:
        """What result.json holds."""
        return {
            "task": self.task,
            "epochs": self.epochs,
            "train_seconds": self.train_seconds,
            "validation_score": self.validation_score,
            "test": self.test.as_dict(),
            "parameters": self.parameters,
        }

    @classmethod
    def from_dict(cls, path: Path, values: dict[str, Any], own_file: str | None = None) -> "Outcome":
        """The inverse of `as_dict`."""
        test = RESULTS[values["task"]](values["test"])
        return cls(path=path, own_file=own_file, **{**values, "test": test})

    def summary(self) -> dict[str, Any]:
        """What `striate train --json` prints."""
        return {
            "run": str(self.path),
            "epochs": self.epochs,
            "train_seconds": self.train_seconds,
            f"validation_{self.test.metric}": self.validation_score,
            **{f"test_{name}": value for name, value in self.test.headline().items()},
            "parameters": self.parameters,
        }
