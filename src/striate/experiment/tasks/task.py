"""What every task provides."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from torch import Tensor, nn

from striate.evaluate.result import Result
from striate.experiment.network import Network
from striate.training.engine import Objective

if TYPE_CHECKING:
    from striate.experiment.history import EpochRow
    from striate.experiment.outcome import Outcome
    from striate.experiment.wiring import Wired

Pair = tuple[Tensor, Tensor]  # outputs, targets


@runtime_checkable
class Task(Protocol):
    """One of `tasks.catalogue.TASKS`, for the data of a run."""

    @property
    def metric(self) -> str:
        """The name of the score."""

    def objective(self, network: Network) -> Objective:
        """What is minimised."""

    def check(self, network: Network) -> None:
        """Refuse a network that gives something else.

        Raises:
            ConfigError: its output does not fit.
        """

    def measure(self, pairs: Iterable[Pair]) -> Result:
        """How good outputs are, from all samples of a part; at least one batch."""

    def completed(self, network: nn.Module, test: Result) -> Result:  # noqa: ARG002 - few tasks look at it
        """The result on the test part, with what only the network itself tells."""
        return test

    def pictures(self, wired: "Wired", test: Result) -> dict[str, bytes]:
        """Pictures of the result by file name, as PNG."""

    def verdict(self, test: Result) -> str:
        """The first lines of the report, as HTML."""

    def sections(self, test: Result) -> str:
        """What the report tells of the result, as HTML."""

    def samples(self, wired: "Wired") -> dict[str, bytes]:
        """Files that `striate predict` can be tried on, by name."""

    def card(self, wired: "Wired", outcome: "Outcome", row: "EpochRow") -> str:
        """README.md of the bundle."""
