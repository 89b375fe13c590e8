"""Numbers to be told of a sample.

The network tells them in standard deviations from their mean, both of the training samples; losses are in these units,
errors in the units of the data.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from striate.evaluate.regression import Regression, regression
from striate.evaluate.result import Result
from striate.experiment.html import share, table
from striate.experiment.network import Network
from striate.experiment.record_material import RecordMaterial
from striate.experiment.result_pictures import Points, fitted_curve, predicted_against_true
from striate.experiment.sample_card import sample_card
from striate.experiment.sample_files import sample_files
from striate.experiment.tasks.outputs import all_at_once, check_outputs, outputs_of_part
from striate.experiment.tasks.task import Pair, Task
from striate.training import losses
from striate.training.engine import Objective

if TYPE_CHECKING:
    from striate.experiment.history import EpochRow
    from striate.experiment.outcome import Outcome
    from striate.experiment.recipe import Recipe
    from striate.experiment.wiring import Wired

CURVE_POINTS = 500


@dataclass(frozen=True, slots=True)
class TellNumbers(Task):
    """Numbers.

    Args:
        recipe: what was asked for, with nothing left open.
        material: the data.
        metric: the name of the score.
    """

    recipe: "Recipe"
    material: RecordMaterial
    metric: str = "r2"

    def objective(self, network: Network | None = None) -> Objective:  # noqa: ARG002 - one signature
        """What the recipe says."""
        asked = self.recipe.loss
        return losses.regress(asked.name or "mse", huber_delta=asked.huber_delta or 1.0)

    def check(self, network: Network) -> None:
        """Refuse an output that is no number for each that is to be told."""
        check_outputs(self.recipe, network, self.material, "one for each number to be told")

    def measure(self, pairs: Iterable[Pair]) -> Regression:
        """R2 and the rest, from the outputs of all samples."""
        outputs, targets = (part.double() for part in all_at_once(pairs))
        loss, reading = self.objective().loss(outputs, targets).item(), self.material.reading
        names = self.material.classes
        return regression(reading.to_numbers(outputs), reading.to_numbers(targets), names, loss=loss)

    def pictures(self, wired: "Wired", test: Result) -> dict[str, bytes]:  # noqa: ARG002 - one signature
        """Predicted against true; where there is one number to tell them from, the curve, too."""
        network = wired.network
        told = torch.cat([y for _, y, _ in outputs_of_part(network, self.material, "test")])
        y = self.material.reading.to_numbers(told)
        names, true = self.material.classes, self._true("test")
        drawn = {"predicted.png": predicted_against_true(y.numpy(), true.numpy(), names)}
        if self.material.reading.shape == (1,) and len(names) == 1:
            points = self._points("train"), self._points("test"), self._curve(network)
            drawn["curve.png"] = fitted_curve(*points, names[0])
        return drawn

    def _true(self, part: str) -> Tensor:
        chosen = self.material.parts[part]
        return torch.from_numpy(chosen.records.targets[chosen.rows])

    def _points(self, part: str) -> Points:
        chosen = self.material.parts[part]
        return Points(chosen.records.inputs[chosen.rows, 0], self._true(part)[:, 0].numpy())

    def _curve(self, network: nn.Module) -> Points:
        """What the network tells all over the data's range."""
        inputs, reading = self.material.parts["train"].records.inputs, self.material.reading
        x = torch.linspace(float(inputs.min()), float(inputs.max()), CURVE_POINTS)[:, None]
        with torch.inference_mode():
            y = reading.to_numbers(network(reading.to_input(x).to(self.material.device)).float().cpu())
        return Points(x[:, 0].numpy(), y[:, 0].numpy())

    def verdict(self, test: Result) -> str:
        """R2 and the errors."""
        result = _of_numbers(test)
        return (
            f'<p class="figure">{test.score:.4f} <span class="small">test R²</span></p>\n'
            f"<p>Mean absolute error {result.mae:.4g}, root of the mean squared error {result.rmse:.4g}, "
            f"on {test.count:,} samples that neither trained nor chose anything.</p>"
        )

    def sections(self, test: Result) -> str:
        """Each number."""
        rows = [
            (e.name, share(e.r2), f"{e.mae:.4g}", f"{e.rmse:.4g}", f"{e.mean:.4g}")
            for e in _of_numbers(test).per_number
        ]
        return f"<h2>Per number</h2>{table(('number', 'R²', 'mean absolute error', 'RMSE', 'mean'), rows)}"

    def samples(self, _wired: "Wired") -> dict[str, bytes]:
        """Some test samples."""
        return sample_files(self.material)

    def card(self, wired: "Wired", outcome: "Outcome", row: "EpochRow") -> str:
        """README.md of the bundle."""
        names = self.material.classes
        return sample_card(wired, outcome, row, does=f"Tells {len(names)} number(s): {', '.join(names)}.")


def _of_numbers(test: Result) -> Regression:
    assert isinstance(test, Regression)
    return test
