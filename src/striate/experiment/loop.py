"""The run's loop: train, validate, save, epoch by epoch, from wherever the run stands.

The position is (updates made, epochs validated) and nothing else.  A run that was stopped between the
last update of an epoch and its validation therefore begins with the validation: nothing is repeated
and nothing is lost.
"""

import signal
import time
from collections.abc import Callable, Iterator

import torch

from striate.base.errors import Stopped
from striate.base.files import shell_name
from striate.evaluate.result import Result
from striate.experiment.accident import explained
from striate.experiment.events import EpochEnded, Event, Stepped
from striate.experiment.history import History
from striate.experiment.position import save_position
from striate.experiment.run_folder import RunFolder
from striate.experiment.tasks.task import Pair
from striate.experiment.throughput import Waiting, peak_memory
from striate.experiment.wiring import Wired
from striate.training.engine import Autocast, Division
from striate.training.processes import Agreement
from striate.training.signals import StopRequest

NO_BATCH: tuple[None, None] = (None, None)


def train_epochs(wired: Wired, history: History, folder: RunFolder, stop: StopRequest) -> Iterator[Event]:
    """Train until the recipe's epochs are complete or validation gets no better, saving as it goes.

    Several processes go through it in step: what ends the loop is agreed upon, and the first of them writes.

    Raises:
        Stopped: a signal came; everything is saved.
        NumericError: loss or gradient not finite; the last checkpoint has only finite numbers.
    """
    while not wired.ended(history.scores):
        yield from _train_epoch(wired, history, folder, stop)
        started = time.monotonic()
        result, number = measured(wired, "validation", stop, wired.plan.autocast)
        history.seconds += time.monotonic() - started
        if number:
            save_position(folder, wired, history)
            raise stopped(wired, history, folder, number)
        step, speeds = wired.state.step, history.speeds
        lr = wired.lr_at(history.scores)(step - 1)
        row = history.end_epoch(step=step, lr=lr, validation_loss=result.loss, validation_score=result.score)
        save_position(folder, wired, history)
        yield EpochEnded(
            row=row,
            epochs=wired.epochs,
            best=history.best is row,
            metric=history.metric,
            speeds=speeds,
            peak_memory=peak_memory(wired.plan.device),
        )


def _train_epoch(wired: Wired, history: History, folder: RunFolder, stop: StopRequest) -> Iterator[Event]:
    lr_at = wired.lr_at(history.scores)
    before = saved = time.monotonic()
    agreement = Agreement(wired.processes)
    for batch, loss, waited in _updates(wired, history):
        now = time.monotonic()
        history.add_batch(loss, _samples(wired, batch), now - before, waited)
        number = agreement.before(stop.number)
        if now - saved > wired.recipe.execution.checkpoint_seconds:
            save_position(folder, wired, history)
            saved = time.monotonic()
        yield Stepped(
            epoch=len(history.rows) + 1,
            epochs=wired.epochs,
            batch=batch,
            batches=wired.steps_per_epoch,
            loss=loss,
            images_per_second=history.images_per_second,
            lr=lr_at(wired.state.step - 1),
            waited=history.speeds.share,
        )
        if number:
            save_position(folder, wired, history)
            raise stopped(wired, history, folder, number)
        before = time.monotonic()


def _updates(wired: Wired, history: History) -> Iterator[tuple[int, float, float]]:
    """The updates that are left of the epoch under way: number in it, from 1, loss, seconds waited for the batch."""
    epoch = len(history.rows)
    first = wired.state.step - epoch * wired.steps_per_epoch
    processes, begun = wired.processes, epoch * wired.steps_per_epoch
    batches = Waiting(wired.material.training(epoch, first, batch_size=wired.batch_size, rows=processes.rows))
    losses = wired.steps(
        wired.state,
        batches,
        objective=wired.objective,
        lr_at=wired.lr_at(history.scores),
        rules=wired.rules,
        autocast=wired.plan.autocast,
        division=Division(processes, lambda step: _samples(wired, step - begun + 1)),
    )
    with explained(wired, epoch):
        yield from ((batch, loss, batches.taken()) for batch, loss in enumerate(losses, start=first + 1))


def _samples(wired: Wired, batch: int) -> int:
    """Of an epoch's batch, counted from 1; the last one holds the rest."""
    return min(wired.batch_size, wired.material.count("train") - (batch - 1) * wired.batch_size)


def measured(wired: Wired, part: str, stop: StopRequest, autocast: Autocast) -> tuple[Result, int]:
    """How good the network is on a part of the data; of less than that if a signal came, whose number is beside it."""
    asked = 0

    def ended() -> bool:
        nonlocal asked
        asked = wired.processes.largest(stop.number)
        return bool(asked)

    return wired.task.measure(outputs_of(wired, part, autocast, ended)), asked


def outputs_of(wired: Wired, part: str, autocast: Autocast, ended: Callable[[], bool]) -> Iterator[Pair]:
    """Outputs and targets of a part of the data, batch by batch; the network comes back in the mode it was in.

    Of several processes each looks at its own samples, and all get the outputs of all of them in their order.

    Args:
        wired: the run.
        part: "train", "validation" or "test".
        autocast: makes the context that outputs are computed in.
        ended: asked after every batch whether that was the last.
    """
    processes, network = wired.processes, wired.network
    batches = wired.material.evaluation(part, rows=processes.dealt)
    training = network.training
    network.eval()
    compute = network if part == "test" else wired.evaluation(network)  # `striate evaluate` repeats the test by torch
    try:
        while True:
            x, y = next(batches, NO_BATCH)
            if processes.from_first(lambda last=x is None: last):  # type: ignore[misc]  # it has most
                return
            with torch.inference_mode(), autocast():
                outputs = None if x is None else compute(x)
            yield processes.gather(outputs), processes.gather(y)
            if ended():
                return
    finally:
        network.train(training)


def stopped(wired: Wired, history: History, folder: RunFolder, number: int) -> Stopped:
    """Where a signal has ended the run, and the command that goes on."""
    wired.processes.largest(number)  # nobody leaves before the first has saved: torchrun would end it
    epoch = min(len(history.rows) + 1, wired.epochs)
    where = f"epoch {epoch} of {wired.epochs}, step {wired.state.step}"
    name = signal.Signals(number).name
    return Stopped(f"stopped by {name} at {where}; continue with: striate resume {shell_name(folder.path)}", number)
