"""Show on a user's own run that it can be made again and stopped anywhere: bit for bit, or where not.

whole       every checkpoint agrees with its checksum
repeated    the first epochs, trained anew, give the numbers of metrics.csv
resumed     the same epochs, stopped in the middle and gone on with, end in the same weights, moments and averages
"""

import csv
import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from striate.base.errors import ConfigError, ModelFileError, NumericError, Stopped
from striate.experiment.events import EpochEnded, Event, Stepped
from striate.experiment.opening import FROM_PROGRAM
from striate.experiment.recipe import Recipe
from striate.experiment.run_folder import RunFolder
from striate.experiment.train import go_on, start
from striate.training.checkpoint import Checkpoint, data_files, newest, read_checkpoint

CLOCKED = ("seconds", "images_per_second")  # columns of metrics.csv that no run repeats
NEVER = 1e9  # seconds


@dataclass(frozen=True, slots=True)
class Verified:
    """What was shown.

    Args:
        checkpoints: that are whole.
        epochs: that were trained anew.
        stopped_at: the step after which the second of them was stopped.
        steps: of those epochs.
        tensors: that were compared.
    """

    checkpoints: int
    epochs: int
    stopped_at: int
    steps: int
    tensors: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def verify(run: Path, epochs: int = 1) -> Iterator[Event | Verified]:
    """Train the first epochs of a run twice more, in a folder that is removed; the run is only read.

    Args:
        run: its folder; it has finished at least one epoch.
        epochs: how many to repeat; fewer where the run has fewer.

    Yields:
        What happens, and at last what was shown.

    Raises:
        ModelFileError: a checkpoint is damaged, or no epoch is finished.
        NumericError: numbers that differ; which ones is said.
        StriateError: data or recipe are not what they were.
    """
    folder = RunFolder(run)
    recipe = folder.recipe()
    if folder.data_location(recipe) == FROM_PROGRAM:
        fix = "verify it in the program that holds its data: train twice with one seed and compare"
        raise ConfigError("verify", "the run's data", "where a path leads", got="held by a program", fix=fix)
    whole = [read_checkpoint(file) for file in data_files(folder.checkpoints)]
    rows = _rows(run)[:epochs]
    if not rows:
        fix = "let it finish an epoch with `striate resume`"
        raise ModelFileError("verify", str(run), "a run with a finished epoch", got="none", fix=fix)
    plan = newest(folder.checkpoints)[0].record["plan"]
    again = _as_planned(recipe, folder.data_location(recipe), plan.get("began") or plan)
    with tempfile.TemporaryDirectory(prefix="striate-verify-") as place:
        one, other = Path(place) / "repeated", Path(place) / "resumed"
        yield from _through(start(again, run=one), len(rows))
        _same_numbers(rows, _rows(one))
        steps = int(rows[-1]["step"])
        yield from _stopped(start(again, run=other), steps // 2 + 1)
        if steps // 2 + 1 < steps or len(_rows(other)) < len(rows):
            yield from _through(go_on(other), len(rows))
        unbroken, broken = (newest(path / "checkpoints")[0] for path in (one, other))
        _same_bits(unbroken, broken)
    yield Verified(len(whole), len(rows), steps // 2 + 1, steps, len(unbroken.tensors))


def _rows(run: Path) -> list[dict[str, str]]:
    try:
        with (run / "metrics.csv").open(newline="") as file:
            return list(csv.DictReader(file))
    except OSError:
        return []


def _as_planned(recipe: Recipe, location: str, plan: dict[str, Any]) -> Recipe:
    """The recipe with everything forced that was decided when the run began."""
    forced = {name: plan[name] for name in ("engine", "device", "threads", "precision", "memory_format")}
    execution = recipe.execution.model_copy(update={**forced, "checkpoint_seconds": NEVER})
    track = type(recipe.track)()
    return recipe.model_copy(update={"data": location, "execution": execution, "track": track})


def _through(events: Iterator[Event], epochs: int) -> Iterator[Event]:
    """The events up to the end of an epoch; the rest does not happen."""
    for event in events:
        yield event
        if isinstance(event, EpochEnded) and event.row.epoch == epochs:
            break
    events.close()  # type: ignore[attr-defined]


def _stopped(events: Iterator[Event], steps: int) -> Iterator[Event]:
    """The events up to a stop after so many steps, asked for as from outside."""
    made = 0
    try:
        for event in events:
            yield event
            made += isinstance(event, Stepped)
            if made == steps:
                os.kill(os.getpid(), signal.SIGTERM)
                made += 1
    except Stopped:
        return


def _same_numbers(then: list[dict[str, str]], now: list[dict[str, str]]) -> None:
    for before, after in zip(then, now, strict=False):
        for name in before:
            if name not in CLOCKED and before[name] != after.get(name):
                raise _differs(f"{name} of epoch {before['epoch']}", before[name], after.get(name))


def _same_bits(unbroken: Checkpoint, broken: Checkpoint) -> None:
    for name, tensor in unbroken.tensors.items():
        if not torch.equal(tensor, broken.tensors[name]):
            raise _differs(f"{name} after a stop", "that of the unbroken run", "another")


def _differs(what: str, then: object, now: object) -> NumericError:
    fix = (
        "results repeat bit for bit on the same machine with the same torch and threads; environment.json says what "
        "the run was made with"
    )
    return NumericError("verify", what, f"as in the run ({then})", got=now, fix=fix)
