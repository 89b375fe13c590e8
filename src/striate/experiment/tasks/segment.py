"""A class for every pixel."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from striate.evaluate.result import Result
from striate.evaluate.segmentation import Segmentation, add_up, count_pixels, segmentation
from striate.experiment.html import share, table
from striate.experiment.network import Network
from striate.experiment.record_material import RecordMaterial
from striate.experiment.result_pictures import masks_beside
from striate.experiment.sample_card import sample_card
from striate.experiment.sample_files import sample_files
from striate.experiment.tasks.outputs import check_outputs, outputs_of_part
from striate.experiment.tasks.task import Pair, Task
from striate.training import losses
from striate.training.engine import Objective

if TYPE_CHECKING:
    from striate.experiment.history import EpochRow
    from striate.experiment.outcome import Outcome
    from striate.experiment.recipe import Recipe
    from striate.experiment.wiring import Wired

SHOWN = 8  # pictures


@dataclass(frozen=True, slots=True)
class TellPixels(Task):
    """A class for every pixel.

    Args:
        recipe: what was asked for, with nothing left open.
        material: the data.
        metric: the name of the score.
    """

    recipe: "Recipe"
    material: RecordMaterial
    metric: str = "iou"

    def objective(self, network: Network) -> Objective:  # noqa: ARG002 - one signature
        """Cross-entropy of every pixel."""
        return losses.segment(losses.class_weights(self.recipe.loss.class_weights, self._counts()))

    def _counts(self) -> list[int]:
        """Training pixels of every class; one that training lacks counts as one pixel."""
        part = self.material.parts["train"]
        counts = np.zeros(len(self.material.classes), dtype=np.int64)
        for row in part.rows:
            counts += np.bincount(part.records.targets[row].ravel(), minlength=len(counts))
        return np.maximum(counts, 1).tolist()

    def check(self, network: Network) -> None:
        """Refuse an output that is no logit a class and pixel."""
        check_outputs(self.recipe, network, self.material, "a logit for each class and pixel")

    def measure(self, pairs: Iterable[Pair]) -> Segmentation:
        """IoU and the rest, from the pixels of all samples."""
        return segmentation(add_up(count_pixels(x.float(), y) for x, y in pairs), self.material.classes)

    def pictures(self, wired: "Wired", test: Result) -> dict[str, bytes]:  # noqa: ARG002 - one signature
        """Pictures, what is true of them, and what is told."""
        part = self.material.parts["test"]
        if part.records.inputs.ndim != 4:  # no picture
            return {}
        rows = part.rows[:SHOWN]
        _, logits, _ = next(outputs_of_part(wired.network, self.material, "test"))
        told = logits[: len(rows)].argmax(1).numpy()
        pictures, true = part.records.inputs[rows], part.records.targets[rows]
        return {"masks.png": masks_beside(pictures, true, told, part.records.classes)}

    def verdict(self, test: Result) -> str:
        """IoU, and the share of pixels."""
        return (
            f'<p class="figure">{test.score:.4f} <span class="small">test IoU, mean over the classes</span></p>\n'
            f"<p>{_of_pixels(test).pixel_accuracy:.2%} of the pixels of {test.count:,} samples that neither trained "
            "nor chose anything are right.</p>"
        )

    def sections(self, test: Result) -> str:
        """Each class."""
        rows = [(e.name, share(e.iou), share(e.recall), f"{e.count:,}") for e in _of_pixels(test).per_class]
        return f"<h2>Per class</h2>{table(('class', 'IoU', 'recall', 'pixels'), rows)}"

    def samples(self, _wired: "Wired") -> dict[str, bytes]:
        """Some test samples."""
        return sample_files(self.material)

    def card(self, wired: "Wired", outcome: "Outcome", row: "EpochRow") -> str:
        """README.md of the bundle."""
        names = ", ".join(self.material.classes)
        return sample_card(wired, outcome, row, does=f"Tells the class of every pixel: {names}.")


def _of_pixels(test: Result) -> Segmentation:
    assert isinstance(test, Segmentation)
    return test
