"""TensorBoard's files of a run: RUN/tensorboard, to be seen with `tensorboard --logdir RUN/tensorboard`.

update/loss, update/lr   some fifty updates of every epoch
epoch/...                the columns of metrics.csv
test/...                 what the run came to

All are by the step, the number of updates made.  A resumed run goes on in the same place: what is there already
is not written again, and epochs that a killed process had no time to write are made up for.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from striate.experiment.events import EpochEnded, Event, Finished, Started, Stepped
from striate.experiment.history import metrics_of
from striate.experiment.track import End, epoch_figures, figures

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

POINTS = 50  # of an epoch's updates; more would make the files large and show no more
FLUSH_SECONDS = 10  # what a killed process loses at most


class TensorBoard:
    """Writes what TensorBoard reads.

    Args:
        folder: of the run.
        settings: the recipe, key by key; shown as a table.
    """

    name = "TensorBoard"

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.settings = settings
        self.steps: dict[str, int] = {}  # of the last value of each tag

    @cached_property
    def writer(self) -> "SummaryWriter":
        """Opened when the run begins, which makes the folder."""
        from torch.utils.tensorboard import SummaryWriter

        place = self.folder / "tensorboard"
        self.steps = _last_steps(place)
        writer = SummaryWriter(str(place), flush_secs=FLUSH_SECONDS)
        if not self.steps:
            table = "\n".join(f"| {key} | {value} |" for key, value in self.settings.items())
            writer.add_text("recipe", f"| key | value |\n|---|---|\n{table}")
        return writer

    def show(self, event: Event) -> None:
        """Write an update, now and then, an epoch, or the end."""
        match event:
            case Stepped() if event.batch % -(-event.batches // POINTS) == 0:
                self._write(event.step, {"update/loss": event.loss, "update/lr": event.lr})
            case Started() | EpochEnded():
                self._catch_up()
                if isinstance(event, EpochEnded) and event.peak_memory:
                    self._write(event.row.step, {"memory/peak_gb": event.peak_memory / 1e9})
                self.writer.flush()
            case Finished(outcome):
                step = self._catch_up()
                self._write(step, {f"test/{name}": value for name, value in figures(outcome).items()})
                self.writer.close()

    def end(self, _end: End) -> None:
        """Write what is left."""
        self.writer.close()

    def _catch_up(self) -> int:
        """Write all epochs that are not there yet; the last one's step."""
        history = metrics_of(self.folder)
        for row in history.rows:
            named = epoch_figures(row, history.metric)
            self._write(row.step, {f"epoch/{name}": value for name, value in named.items()})
        return history.rows[-1].step if history.rows else 0

    def _write(self, step: int, values: dict[str, float]) -> None:
        writer = self.writer  # first: it looks up what is there
        for tag, value in values.items():
            if step > self.steps.get(tag, 0):
                writer.add_scalar(tag, value, step)
                self.steps[tag] = step


def _last_steps(place: Path) -> dict[str, int]:
    """The last step of everything that is there already."""
    if not place.is_dir():
        return {}
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(place), size_guidance={"scalars": 1})
    found.Reload()
    return {tag: found.Scalars(tag)[-1].step for tag in found.Tags()["scalars"]}
