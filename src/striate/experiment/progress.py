"""What people see while a run goes: a live bar on a terminal, plain lines elsewhere, always on stderr."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from striate.experiment.events import EpochEnded, Event, Finished, Noted, Started, Stepped
from striate.experiment.html import share
from striate.experiment.outcome import Outcome

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE = 10.0  # seconds after which a plain line says that an epoch is under way
FELT = 0.1  # share of waiting from which it is shown


class Display(Protocol):
    """What shows events."""

    def reading(self, done: int, total: int) -> None:
        """`done` of `total` pictures are decoded."""

    def show(self, event: Event) -> None:
        """Show one event."""

    def drain(self, events: Iterator[Event]) -> Outcome:
        """Show all events and return what the run came to."""
        outcome: Outcome | None = None
        for event in events:
            self.show(event)
            if isinstance(event, Finished):
                outcome = event.outcome
        assert outcome is not None
        return outcome


def epoch_line(event: EpochEnded) -> str:
    """One line that stays, for a finished epoch."""
    row = event.row
    left = (event.epochs - row.epoch) * row.seconds / row.epoch
    return (
        f"epoch {row.epoch:>{len(str(event.epochs))}}/{event.epochs}  loss {row.train_loss:.4f}  "
        f"validation loss {share(row.validation_loss)}  {event.metric} {share(row.validation_score)}"
        f"{' best' if event.best else '     '}  {row.images_per_second:,.0f} pictures/s  {clock(left)} left"
        f"{f'  peak {event.peak_memory / 1e9:.2f} GB' if event.peak_memory else ''}"
    )


def speed(event: Stepped) -> str:
    """How fast it goes, and whether training waits for its pictures."""
    waits = f", waits for pictures {100 * event.waited:.0f} % of the time" if event.waited >= FELT else ""
    return f"{event.images_per_second:,.0f} pictures/s{waits}"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> clock(3725.2)
    '1:02:05'
    """
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


class PlainDisplay(Display):
    """Lines, for a file, a pipe or a log."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
        self.last = time.monotonic()

    def _waited(self) -> bool:
        return time.monotonic() - self.last > PATIENCE

    def reading(self, done: int, total: int) -> None:
        """Say how far, now and then."""
        if self._waited():
            self._say(f"reading pictures: {done:,} of {total:,}")

    def show(self, event: Event) -> None:
        """Print what stays."""
        match event:
            case Started(headline, notes):
                self._say(headline)
                for note in notes:
                    self._say(f"note: {note}")
            case Noted(note):
                self._say(f"note: {note}")
            case Stepped() if self._waited():
                self._say(
                    f"epoch {event.epoch}/{event.epochs}, step {event.batch:,} of {event.batches:,}, "
                    f"loss {event.loss:.4f}, {speed(event)}"
                )
            case EpochEnded():
                self._say(epoch_line(event))


class LiveDisplay(Display):
    """A bar for what is under way, and a line for what is done.

    Args:
        progress: rich's, started.
    """

    def __init__(self, progress: "Progress") -> None:
        self.progress = progress
        self.task = progress.add_task("reading pictures", total=None, detail="", visible=False)

    def reading(self, done: int, total: int) -> None:
        """Move the bar."""
        self.progress.update(self.task, completed=done, total=total, detail=f"{done:,} of {total:,}", visible=True)

    def show(self, event: Event) -> None:
        """Move the bar, print what stays."""
        match event:
            case Started(headline, notes):
                self._say(headline)
                for note in notes:
                    self._say(f"note: {note}")
            case Noted(note):
                self._say(f"note: {note}")
            case Stepped():
                self.progress.update(
                    self.task,
                    description=f"epoch {event.epoch}/{event.epochs}",
                    completed=event.batch,
                    total=event.batches,
                    detail=f"loss {event.loss:.4f}  lr {event.lr:.2g}  {speed(event)}",
                    visible=True,
                )
            case EpochEnded():
                self._say(epoch_line(event))
                self.progress.reset(self.task, total=None, description="judging" if self._last(event) else "training")

    @staticmethod
    def _last(event: EpochEnded) -> bool:
        return event.row.epoch == event.epochs

    def _say(self, text: str) -> None:
        self.progress.console.print(text, highlight=False, markup=False)


class SilentDisplay(Display):
    """Nothing: another process shows what is to be seen."""

    def reading(self, done: int, total: int) -> None:
        """Nothing."""

    def show(self, event: Event) -> None:
        """Nothing."""


@contextmanager
def display() -> Iterator[PlainDisplay | LiveDisplay]:
    """A live display if stderr is a terminal, else a plain one."""
    if not sys.stderr.isatty():
        yield PlainDisplay()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield LiveDisplay(progress)
