"""What a finished run comes to."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from striate.deploy.predictor import Picture, Prediction, Predictor, load
from striate.evaluate.classification import Classification, ClassResult


@dataclass(frozen=True)
class Outcome:
    """A finished run.

    Args:
        path: its folder.
        epochs: passes made.
        train_seconds: training and validation, pauses left out.
        validation_accuracy: of the best epoch, in [0, 1].
        test: the best epoch's result on pictures that chose nothing.
        parameters: trainable numbers of the network.
        own_file: FILE.py:NAME of the network, where the recipe names one; prediction runs it.
    """

    path: Path
    epochs: int
    train_seconds: float
    validation_accuracy: float
    test: Classification
    parameters: int
    own_file: str | None = None

    @cached_property
    def model(self) -> Predictor:
        """The trained predictor."""
        return load(self.path, model=self.own_file)

    def predict(self, picture: Picture, top: int = 5) -> Prediction:
        """Classify one picture with the trained network."""
        return self.model.predict(picture, top)

    def as_dict(self) -> dict[str, Any]:
        """What result.json holds."""
        return {
            "epochs": self.epochs,
            "train_seconds": self.train_seconds,
            "validation_accuracy": self.validation_accuracy,
            "test": self.test.as_dict(),
            "parameters": self.parameters,
        }

    @classmethod
    def from_dict(cls, path: Path, values: dict[str, Any], own_file: str | None = None) -> "Outcome":
        """The inverse of `as_dict`."""
        test = values["test"]
        return cls(
            path=path,
            own_file=own_file,
            **{
                **values,
                "test": Classification(
                    accuracy=float(test["accuracy"]),
                    interval=(float(test["interval"][0]), float(test["interval"][1])),
                    loss=float(test["loss"]),
                    count=int(test["count"]),
                    per_class=tuple(ClassResult(**entry) for entry in test["per_class"]),
                    confusion=tuple(tuple(row) for row in test["confusion"]),
                ),
            },
        )

    def summary(self) -> dict[str, Any]:
        """What `striate train --json` prints."""
        return {
            "run": str(self.path),
            "epochs": self.epochs,
            "train_seconds": self.train_seconds,
            "validation_accuracy": self.validation_accuracy,
            "test_accuracy": self.test.accuracy,
            "test_interval": list(self.test.interval),
            "parameters": self.parameters,
        }
