"""Any number of labels a sample."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from striate.evaluate.multilabel import Multilabel, multilabel
from striate.evaluate.result import Result
from striate.experiment.html import share, table
from striate.experiment.network import Network
from striate.experiment.record_material import RecordMaterial
from striate.experiment.result_pictures import label_bars
from striate.experiment.sample_card import sample_card
from striate.experiment.sample_files import sample_files
from striate.experiment.tasks.outputs import all_at_once, check_outputs
from striate.experiment.tasks.task import Pair, Task
from striate.training import losses
from striate.training.engine import Objective

if TYPE_CHECKING:
    from striate.experiment.history import EpochRow
    from striate.experiment.material import Material
    from striate.experiment.outcome import Outcome
    from striate.experiment.recipe import Recipe
    from striate.experiment.wiring import Wired


@dataclass(frozen=True, slots=True)
class TellLabels(Task):
    """Any number of labels a sample.

    Args:
        recipe: what was asked for, with nothing left open.
        material: the data.
        metric: the name of the score.
    """

    recipe: "Recipe"
    material: "Material"
    metric: str = "f1"

    def objective(self, network: Network) -> Objective:  # noqa: ARG002 - one signature
        """Binary cross-entropy of every label."""
        return losses.multilabel()

    def check(self, network: Network) -> None:
        """Refuse an output that is no logit a label."""
        check_outputs(self.recipe, network, self.material, "a logit for each label")

    def measure(self, pairs: Iterable[Pair]) -> Multilabel:
        """F1 and the rest, from the logits of all samples."""
        logits, targets = all_at_once(pairs)
        return multilabel(logits, targets, self.material.classes)

    def pictures(self, _wired: "Wired", test: Result) -> dict[str, bytes]:
        """Precision and recall of every label."""
        return {"labels.png": label_bars(_of_labels(test))}

    def verdict(self, test: Result) -> str:
        """F1, and how often all is right."""
        return (
            f'<p class="figure">{test.score:.4f} <span class="small">test F1, mean over the labels</span></p>\n'
            f"<p>Of {test.count:,} samples that neither trained nor chose anything, "
            f"{_of_labels(test).subset_accuracy:.2%} have every label right.</p>"
        )

    def sections(self, test: Result) -> str:
        """Each label."""
        rows = [
            (e.name, share(e.precision), share(e.recall), share(e.f1), f"{e.count:,}", f"{e.told:,}")
            for e in _of_labels(test).per_label
        ]
        return f"<h2>Per label</h2>{table(('label', 'precision', 'recall', 'F1', 'have it', 'told'), rows)}"

    def samples(self, _wired: "Wired") -> dict[str, bytes]:
        """Some test samples."""
        assert isinstance(self.material, RecordMaterial)
        return sample_files(self.material)

    def card(self, wired: "Wired", outcome: "Outcome", row: "EpochRow") -> str:
        """README.md of the bundle."""
        names = self.material.classes
        return sample_card(wired, outcome, row, does=f"Tells which of {len(names)} labels hold: {', '.join(names)}.")


def _of_labels(test: Result) -> Multilabel:
    assert isinstance(test, Multilabel)
    return test
