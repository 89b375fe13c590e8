"""Those who look on while a run goes: each is told every event, and none can harm the run.

An onlooker that fails is reported once, as a note; training goes on.  After a failure it rests for twenty times as long
as the failed try took, so that a server that does not answer costs a run no more than a twentieth of its time.
"""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from striate.base.errors import ConfigError, Stopped, StriateError
from striate.experiment.events import Event, Finished, Noted
from striate.experiment.history import EpochRow, columns
from striate.experiment.outcome import Outcome
from striate.experiment.position import flat
from striate.experiment.recipe import Recipe
from striate.experiment.recipe_tables import Track

RESTS = 20.0  # times as long as a failed try took
NEEDED = {"tensorboard": ("tensorboard",), "mlflow": ("mlflow", "sqlalchemy", "alembic")}  # modules of the extra


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended, for this time.

    Args:
        state: "stopped" by a signal or by the program that drains it, or "failed".
        message: what was said.
        exit_code: of the command.
    """

    state: Literal["stopped", "failed"]
    message: str
    exit_code: int


@runtime_checkable
class Tracker(Protocol):
    """What looks on.  It may raise whatever it likes."""

    name: str

    def show(self, event: Event) -> None:
        """Take note of an event; `Finished` is the last."""

    def end(self, end: End, /) -> None:
        """Take note that the run ended unfinished."""


class _Guarded:
    """A tracker that cannot harm.

    Args:
        tracker: what may fail.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.told = False
        self.rests_until = 0.0

    def show(self, event: Event) -> Noted | None:
        """Show it an event; what to say if it is the first that fails."""
        before = time.monotonic()
        if before < self.rests_until and not isinstance(event, Finished):
            return None
        try:
            self.tracker.show(event)
        except Exception as error:
            now = time.monotonic()
            self.rests_until = now + RESTS * (now - before)
            return self._note(error)
        return None

    def end(self, end: End) -> None:
        """Tell it the end; who would read a note is gone."""
        try:
            self.tracker.end(end)
        except Exception:
            self.told = True

    def _note(self, error: Exception) -> Noted | None:
        if self.told:
            return None
        self.told = True
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Noted(f"{self.tracker.name} failed ({reason}); the run goes on, metrics.csv has all its figures")


def tracked(events: Generator[Event, None, None], trackers: Sequence[Tracker]) -> Iterator[Event]:
    """The same events, each shown to all trackers before it is passed on; a tracker's failure becomes a note."""
    guarded = [_Guarded(tracker) for tracker in trackers]
    finished = False
    with closing(events):
        try:
            for event in events:
                notes = [note for tracker in guarded if (note := tracker.show(event))]
                finished = isinstance(event, Finished)
                yield event
                yield from notes
        except BaseException as error:
            if not finished:
                for tracker in guarded:
                    tracker.end(_end(error))
            raise


def _end(error: BaseException) -> End:
    match error:
        case Stopped():
            return End("stopped", str(error), error.exit_code)
        case StriateError():
            return End("failed", f"{type(error).__name__}: {error}", error.exit_code)
        case GeneratorExit():
            return End("stopped", "the program that ran it wanted no more", 0)
        case _:
            return End("failed", f"{type(error).__name__}: {error}", 1)


def trackers(recipe: Recipe, folder: Path) -> list[Tracker]:
    """What the recipe asks for, on the run of that folder.

    Raises:
        ConfigError: as `check_installed`.
    """
    check_installed(recipe.track)
    settings = {key: str(value) for key, value in flat(recipe.model_dump(mode="json")).items()}
    chosen: list[Tracker] = []
    if recipe.track.tensorboard:
        from striate.experiment.track_tensorboard import TensorBoard

        chosen.append(TensorBoard(folder, settings))
    if recipe.track.mlflow:
        from striate.experiment.track_mlflow import MLflow

        chosen.append(MLflow(folder, settings))
    return chosen


def check_installed(asked: Track) -> None:
    """Refuse before any work what could not be tracked.

    Raises:
        ConfigError: the extra is missing.
    """
    for name, modules in NEEDED.items():
        missing = [module for module in modules if getattr(asked, name) and find_spec(module) is None]
        if missing:
            fix = f"pip install 'striate[track]', or leave out track.{name}"
            raise ConfigError("recipe", f"track.{name}", "installed", got=f"no module {missing[0]}", fix=fix)


def epoch_figures(row: EpochRow, metric: str) -> dict[str, float]:
    """An epoch's figures by their names in metrics.csv; epoch and step, which say where they belong, left out."""
    return dict(zip(columns(metric)[2:], astuple(row)[2:], strict=True))


def figures(outcome: Outcome) -> dict[str, float]:
    """The numbers of the test split, by name; those that are none left out."""
    found = outcome.test.headline().items()
    return {key: float(value) for key, value in found if isinstance(value, int | float) and value == value}
