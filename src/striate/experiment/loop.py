"""The run's loop: train, validate, save, epoch by epoch, from wherever the run stands.

The position is (updates made, epochs validated) and nothing else.  A run that was stopped between the
last update of an epoch and its validation therefore begins with the validation: nothing is repeated
and nothing is lost.
"""

import time
from collections.abc import Iterable, Iterator

import torch
from torch import nn

from striate.base.errors import Stopped
from striate.base.files import shell_name
from striate.evaluate.result import Result
from striate.experiment.accident import explained
from striate.experiment.events import EpochEnded, Event, Stepped
from striate.experiment.history import History
from striate.experiment.position import save_position
from striate.experiment.run_folder import RunFolder
from striate.experiment.tasks.task import Pair
from striate.experiment.wiring import Wired
from striate.training.engine import Autocast, Batch, fit
from striate.training.signals import StopRequest


def train_epochs(wired: Wired, history: History, folder: RunFolder, stop: StopRequest) -> Iterator[Event]:
    """Train until the recipe's epochs are complete or validation gets no better, saving as it goes.

    Raises:
        Stopped: a signal came; everything is saved.
        NumericError: loss or gradient not finite; the last checkpoint has only finite numbers.
    """
    while not wired.ended(history.scores):
        yield from _train_epoch(wired, history, folder, stop)
        started = time.monotonic()
        result = measured(wired, "validation", stop)
        history.seconds += time.monotonic() - started
        if result is None:
            save_position(folder, wired, history)
            raise stopped(wired, history, folder, stop)
        step = wired.state.step
        lr = wired.lr_at(history.scores)(step - 1)
        row = history.end_epoch(step=step, lr=lr, validation_loss=result.loss, validation_score=result.score)
        save_position(folder, wired, history)
        yield EpochEnded(row=row, epochs=wired.epochs, best=history.best is row, metric=history.metric)


def _train_epoch(wired: Wired, history: History, folder: RunFolder, stop: StopRequest) -> Iterator[Event]:
    before = saved = time.monotonic()
    for batch, loss in _updates(wired, history):
        now = time.monotonic()
        history.add_batch(loss, _samples(wired, batch), now - before)
        if stop.number or now - saved > wired.recipe.execution.checkpoint_seconds:
            save_position(folder, wired, history)
            saved = time.monotonic()
        if stop.number:
            raise stopped(wired, history, folder, stop)
        yield Stepped(
            epoch=len(history.rows) + 1,
            epochs=wired.epochs,
            batch=batch,
            batches=wired.steps_per_epoch,
            loss=loss,
            images_per_second=history.images_per_second,
        )
        before = time.monotonic()


def _updates(wired: Wired, history: History) -> Iterator[tuple[int, float]]:
    """The updates that are left of the epoch under way: number within it, from 1, and loss."""
    epoch = len(history.rows)
    first = wired.state.step - epoch * wired.steps_per_epoch
    losses = fit(
        wired.state,
        wired.material.training(epoch, first, batch_size=wired.batch_size),
        objective=wired.objective,
        lr_at=wired.lr_at(history.scores),
        rules=wired.rules,
        autocast=wired.plan.autocast,
    )
    with explained(wired, epoch):
        yield from enumerate(losses, start=first + 1)


def _samples(wired: Wired, batch: int) -> int:
    """Of an epoch's batch, counted from 1; the last one holds the rest."""
    return min(wired.batch_size, wired.material.count("train") - (batch - 1) * wired.batch_size)


def measured(wired: Wired, part: str, stop: StopRequest) -> Result | None:
    """How good the network is on a part of the data; None if a signal came first."""
    batches = wired.material.evaluation(part)
    result = wired.task.measure(outputs_of(wired.network, until_stopped(batches, stop), wired.plan.autocast))
    return None if stop.number else result


def outputs_of(network: nn.Module, batches: Iterable[Batch], autocast: Autocast) -> Iterator[Pair]:
    """Outputs and targets of every batch; the network comes back in the mode it was in."""
    training = network.training
    network.eval()
    try:
        for x, y in batches:
            with torch.inference_mode(), autocast():
                outputs = network(x)
            yield outputs, y
    finally:
        network.train(training)


def until_stopped(batches: Iterable[Batch], stop: StopRequest) -> Iterator[Batch]:
    """The batches up to the one at which a signal came, which is the last."""
    for batch in batches:
        yield batch
        if stop.number:
            return


def stopped(wired: Wired, history: History, folder: RunFolder, stop: StopRequest) -> Stopped:
    """Where a signal has ended the run, and the command that goes on."""
    epoch = min(len(history.rows) + 1, wired.epochs)
    where = f"epoch {epoch} of {wired.epochs}, step {wired.state.step}"
    return Stopped(
        f"stopped by {stop.name} at {where}; continue with: striate resume {shell_name(folder.path)}", stop.number
    )
