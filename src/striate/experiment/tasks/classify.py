"""One class a sample."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from striate.evaluate.classification import Classification, classification
from striate.evaluate.result import Result
from striate.experiment.card import model_card
from striate.experiment.html import share, table
from striate.experiment.material import Material
from striate.experiment.network import Network, check_logits
from striate.experiment.picture_material import PictureMaterial
from striate.experiment.pictures import confusion_matrix
from striate.experiment.recipe import Recipe
from striate.experiment.record_material import RecordMaterial
from striate.experiment.sample_card import sample_card
from striate.experiment.sample_files import picture_files, sample_files
from striate.experiment.tasks.outputs import all_at_once, check_outputs
from striate.experiment.tasks.task import Pair, Task
from striate.training import losses
from striate.training.engine import Objective

if TYPE_CHECKING:
    from striate.experiment.history import EpochRow
    from striate.experiment.outcome import Outcome
    from striate.experiment.wiring import Wired


@dataclass(frozen=True, slots=True)
class Classify(Task):
    """One class a sample.

    Args:
        recipe: what was asked for, with nothing left open.
        material: the data.
        metric: the name of the score.
    """

    recipe: Recipe
    material: Material
    metric: str = "accuracy"

    def objective(self, network: Network) -> Objective:
        """Cross-entropy or what the recipe says, in the form that the network is trained by."""
        asked = self.recipe.loss
        weights = losses.class_weights(asked.class_weights, self.counts())
        smoothing, gamma = asked.label_smoothing or 0.0, asked.focal_gamma
        name = asked.name or "cross_entropy"
        plain = losses.classify(name, label_smoothing=smoothing, weights=weights, focal_gamma=gamma)
        return Objective(network.card.loss(plain.loss), plain.weight) if network.card.loss else plain

    def counts(self) -> list[int]:
        """Training samples of every class."""
        number = {name: i for i, name in enumerate(self.material.classes)}
        counts = [0] * len(number)
        for (part, _), (name, _digest) in self.material.listing().items():
            counts[number[name]] += part == "train"
        return counts

    def check(self, network: Network) -> None:
        """Refuse an output that is no logit a class."""
        check_logits(self.recipe, network)
        if isinstance(self.material, RecordMaterial):
            check_outputs(self.recipe, network, self.material, "a logit for each class")

    def measure(self, pairs: Iterable[Pair]) -> Classification:
        """Accuracy and the rest, from the logits of all samples."""
        logits, labels = all_at_once(pairs)
        return classification(logits, labels, self.material.classes)

    def pictures(self, _wired: "Wired", test: Result) -> dict[str, bytes]:
        """The confusion matrix."""
        return {"confusion.png": confusion_matrix(_of_classes(test))}

    def verdict(self, test: Result) -> str:
        """Accuracy and its interval."""
        low, high = _of_classes(test).interval
        return (
            f'<p class="figure">{test.score:.2%} <span class="small">test accuracy</span></p>\n'
            f"<p>95 % interval {low:.2%} to {high:.2%} on {test.count:,} samples "
            "that neither trained nor chose anything.</p>"
        )

    def sections(self, test: Result) -> str:
        """Each class, and what is confused with what."""
        result = _of_classes(test)
        return f"<h2>Per class</h2>{_per_class(result)}\n<h2>Most often confused</h2>{_confused(result)}"

    def samples(self, _wired: "Wired") -> dict[str, bytes]:
        """One test sample a class."""
        material = self.material
        if isinstance(material, RecordMaterial):
            return sample_files(material)
        return picture_files(material) if isinstance(material, PictureMaterial) else {}

    def card(self, wired: "Wired", outcome: "Outcome", row: "EpochRow") -> str:
        """README.md of the bundle."""
        if isinstance(self.material, PictureMaterial):
            return model_card(wired, outcome, row)
        names = self.material.classes
        return sample_card(wired, outcome, row, does=f"Sorts samples into {len(names)} classes: {', '.join(names)}.")


def _of_classes(test: Result) -> Classification:
    assert isinstance(test, Classification)
    return test


def _per_class(test: Classification) -> str:
    rows = [
        (entry.name, share(entry.precision), share(entry.recall), share(entry.f1), f"{entry.count:,}")
        for entry in test.per_class
    ]
    return table(("class", "precision", "recall", "F1", "pictures"), rows)


def _confused(test: Classification) -> str:
    names = [entry.name for entry in test.per_class]
    pairs = [
        (count, names[true], names[predicted])
        for true, row in enumerate(test.confusion)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    worst = sorted(pairs, reverse=True)[:10]
    if not worst:
        return "<p>Nothing was confused.</p>"
    return table(("class", "taken for", "times"), [(true, taken, str(count)) for count, true, taken in worst])
