"""The data of a run as the engine sees them: what they are, and batches of them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from striate.data.batches import Batch, whole
from striate.data.manifest import Rows
from striate.models.card import Given

PARTS = ("train", "validation", "test")
EVALUATION_BATCH = 512  # samples


@runtime_checkable
class Material(Protocol):
    """Samples with their targets, divided into training, validation and test."""

    @property
    def name(self) -> str:
        """Short, for the name of a run."""

    @property
    def location(self) -> str:
        """Where the data lie."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of classes or labels, or of the numbers that are to be told."""

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits that stand for all contents, targets and the division."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about how the data were read."""

    @property
    def left_out(self) -> Sequence[object]:
        """What did not decode and was left out on request."""

    def count(self, part: str) -> int:
        """Samples of "train", "validation" or "test"."""

    def given(self) -> Given:
        """What a network for these data is to be built with; what it does not say is the network's own."""

    def training(
        self, epoch: int, first: int, *, batch_size: int, rows: Callable[[int], slice] = whole
    ) -> Iterator[Batch]:
        """The batches of an epoch from number `first` on; of each the rows that `rows` picks from its length."""

    def evaluation(self, part: str, *, rows: Callable[[int], slice] = whole) -> Iterator[Batch]:
        """The samples of a part once, in their order; of all of them those that `rows` picks."""

    def describe(self) -> dict[str, object]:
        """What data.json holds beside the location."""

    def listing(self) -> Rows:
        """Every sample with its target and digest."""

    def close(self) -> None:
        """Let go of what gives the samples; idempotent."""
