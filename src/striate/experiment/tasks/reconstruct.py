"""The sample itself, through a narrow place; the features there are clustered and held against classes if there are."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from striate.evaluate.clustering import Clustering, clustering
from striate.evaluate.reconstruction import Reconstruction, add_up, reconstruction, sum_errors
from striate.evaluate.result import Result
from striate.experiment.html import table
from striate.experiment.network import Network
from striate.experiment.picture_material import PictureMaterial
from striate.experiment.record_material import RecordMaterial
from striate.experiment.result_pictures import samples_beside
from striate.experiment.sample_card import sample_card
from striate.experiment.sample_files import picture_files, sample_files
from striate.experiment.tasks.outputs import check_outputs, outputs_of_part
from striate.experiment.tasks.task import Pair, Task
from striate.training import losses
from striate.training.engine import Objective

if TYPE_CHECKING:
    from striate.experiment.history import EpochRow
    from striate.experiment.outcome import Outcome
    from striate.experiment.recipe import Recipe
    from striate.experiment.wiring import Wired

SHOWN = 12  # samples
CLUSTERED = 2000  # test samples at most, evenly among all: k-means looks at each many times


@dataclass(frozen=True, slots=True)
class GiveBack(Task):
    """The sample itself.

    Args:
        recipe: what was asked for, with nothing left open.
        material: the data.
        metric: the name of the score.
    """

    recipe: "Recipe"
    material: PictureMaterial | RecordMaterial
    metric: str = "r2"

    def objective(self, network: Network | None = None) -> Objective:  # noqa: ARG002 - one signature
        """What the recipe says."""
        return losses.reconstruct(self.recipe.loss.name or "mse")

    def check(self, network: Network) -> None:
        """Refuse an output of another shape than the sample's."""
        check_outputs(self.recipe, network, self.material, "the sample's own shape")

    def measure(self, pairs: Iterable[Pair]) -> Reconstruction:
        """R2 and the rest, from all samples."""
        scale, peak = self._units()
        loss = self.objective().loss
        sums = (sum_errors(y.cpu(), x.cpu(), scale=scale, criterion=loss) for y, x in pairs)
        return reconstruction(add_up(sums), peak=peak)

    def _units(self) -> tuple[Tensor, float | None]:
        """Units of the data in one of the network's input, for each channel, and the data's largest value."""
        if isinstance(self.material, RecordMaterial):
            reading, kind = self.material.reading, self.material.parts["train"].records.inputs.dtype
            return _beside(reading.std, len(reading.shape)), 255.0 if kind == np.uint8 else None
        preprocess = self.material.preprocess
        if preprocess.whiten is not None:
            return torch.ones(()), None  # in the units of the whitening
        return _beside(preprocess.std, 3), None if preprocess.picture.kind == "float32" else 1.0

    def completed(self, network: nn.Module, test: Result) -> Result:
        """With clusters of the features, where the network has some and the data classes."""
        encode = getattr(network, "encode", None)
        if encode is None or not isinstance(self.material, PictureMaterial):
            return test
        return replace(_of_samples(test), clusters=self._clusters(encode))

    def _clusters(self, encode: Callable[[Tensor], Tensor]) -> Clustering:
        assert isinstance(self.material, PictureMaterial)
        split, features = self.material.split("test"), []
        with torch.inference_mode():
            for x, _ in self.material.evaluation("test"):
                features.append(encode(x).flatten(1).float().cpu())
        step = -(-len(split) // CLUSTERED)
        classes = len(self.material.classes)
        found = torch.cat(features)[::step]
        clusters = min(classes, len(found))
        return clustering(found, split.labels[::step], clusters=clusters, classes=classes, seed=self.recipe.seed)

    def pictures(self, wired: "Wired", test: Result) -> dict[str, bytes]:  # noqa: ARG002 - one signature
        """Samples above what comes back of them."""
        x, y, _ = (part[:SHOWN].numpy() for part in next(outputs_of_part(wired.network, self.material, "test")))
        return {"reconstructions.png": samples_beside(x, y)} if x.ndim == 4 else {}

    def verdict(self, test: Result) -> str:
        """The share of the variance that comes back."""
        result = _of_samples(test)
        signal = "" if result.psnr is None else f", signal to noise {result.psnr:.2f} dB"
        return (
            f'<p class="figure">{test.score:.2%} <span class="small">of the test split\'s variance returns</span></p>\n'
            f"<p>Mean squared error {result.mse:.4g}{signal}, on {test.count:,} samples that neither trained nor chose "
            "anything.</p>"
        )

    def sections(self, test: Result) -> str:
        """The clusters of the features."""
        found = _of_samples(test).clusters
        if found is None:
            return ""
        rows = [(str(number), *(f"{count:,}" for count in row)) for number, row in enumerate(found.table)]
        return (
            f"<h2>Clusters of the features</h2><p>Purity {found.purity:.4f}; {found.chance:.4f} with the labels "
            f"shuffled.  k-means knows no label of the {found.count:,} samples.</p>"
            + table(("cluster", *self.material.classes), rows)
        )

    def samples(self, _wired: "Wired") -> dict[str, bytes]:
        """Some test samples."""
        material = self.material
        return sample_files(material) if isinstance(material, RecordMaterial) else picture_files(material)

    def card(self, wired: "Wired", outcome: "Outcome", row: "EpochRow") -> str:
        """README.md of the bundle."""
        return sample_card(wired, outcome, row, does="Gives its sample back, through fewer numbers.")


def _beside(std: tuple[float, ...], axes: int) -> Tensor:
    return torch.tensor(std, dtype=torch.float64).reshape(-1, *[1] * (axes - 1))


def _of_samples(test: Result) -> Reconstruction:
    assert isinstance(test, Reconstruction)
    return test
