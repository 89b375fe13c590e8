"""The run's loop: train, validate, save, epoch by epoch, from wherever the run stands.

The position is (updates made, epochs validated) and nothing else.  A run that was stopped between the
last update of an epoch and its validation therefore begins with the validation: nothing is repeated
and nothing is lost.
"""

import time
from collections.abc import Iterable, Iterator

from torch import Tensor

from striate.base.errors import Stopped
from striate.base.files import shell_name
from striate.data.batches import evaluation_batches, training_batches
from striate.evaluate.classification import classification
from striate.evaluate.collect import collect
from striate.experiment.events import EpochEnded, Event, Stepped
from striate.experiment.history import History
from striate.experiment.position import save_position
from striate.experiment.run_folder import RunFolder
from striate.experiment.wiring import Wired
from striate.training.engine import Batch, fit
from striate.training.signals import StopRequest

EVALUATION_BATCH = 512  # pictures


def train_epochs(wired: Wired, history: History, folder: RunFolder, stop: StopRequest) -> Iterator[Event]:
    """Train until the recipe's epochs are complete, saving as it goes.

    Raises:
        Stopped: a signal came; everything is saved.
        NumericError: loss or gradient not finite; the last checkpoint has only finite numbers.
    """
    while len(history.rows) < wired.epochs:
        yield from _train_epoch(wired, history, folder, stop)
        started = time.monotonic()
        labels, logits = _validate(wired, stop)
        history.seconds += time.monotonic() - started
        if stop.number:
            save_position(folder, wired, history)
            raise _stopped(wired, history, folder, stop)
        result = classification(logits, labels, wired.dataset.classes)
        step = wired.state.step
        row = history.end_epoch(
            step=step, lr=wired.lr_at(step - 1), validation_loss=result.loss, validation_accuracy=result.accuracy
        )
        save_position(folder, wired, history)
        yield EpochEnded(row=row, epochs=wired.epochs, best=history.best is row)


def _train_epoch(wired: Wired, history: History, folder: RunFolder, stop: StopRequest) -> Iterator[Event]:
    recipe, state, count = wired.recipe, wired.state, len(wired.dataset.train)
    epoch = len(history.rows)
    first = state.step - epoch * wired.steps_per_epoch
    batches = training_batches(wired.feed, epoch, first)
    before = saved = time.monotonic()
    for batch, loss in enumerate(fit(state, batches, objective=wired.objective, lr_at=wired.lr_at), start=first + 1):
        now = time.monotonic()
        images = min(wired.feed.batch_size, count - (batch - 1) * wired.feed.batch_size)
        history.add_batch(loss, images, now - before)
        if stop.number or now - saved > recipe.execution.checkpoint_seconds:
            save_position(folder, wired, history)
            saved = time.monotonic()
        if stop.number:
            raise _stopped(wired, history, folder, stop)
        yield Stepped(
            epoch=epoch + 1,
            epochs=wired.epochs,
            batch=batch,
            batches=wired.steps_per_epoch,
            loss=loss,
            images_per_second=history.images_per_second,
        )
        before = time.monotonic()


def _validate(wired: Wired, stop: StopRequest) -> tuple[Tensor, Tensor]:
    """Labels and logits of the validation split; only a part of them if a signal came."""
    batches = evaluation_batches(wired.dataset.validation, wired.preprocess, EVALUATION_BATCH, device=wired.plan.device)
    logits, labels = collect(wired.network, _until_stopped(batches, stop))
    return labels, logits


def _until_stopped(batches: Iterable[Batch], stop: StopRequest) -> Iterator[Batch]:
    for batch in batches:
        yield batch
        if stop.number:
            return


def _stopped(wired: Wired, history: History, folder: RunFolder, stop: StopRequest) -> Stopped:
    epoch = min(len(history.rows) + 1, wired.epochs)
    where = f"epoch {epoch} of {wired.epochs}, step {wired.state.step}"
    return Stopped(
        f"stopped by {stop.name} at {where}; continue with: striate resume {shell_name(folder.path)}", stop.number
    )
