"""Follow a run from another process: what its own terminal shows, read from its folder.

metrics.csv has the epochs that are done, live.json where the run is, who runs it and how it ended.  Both are read and
never written, and no lock is taken: watching cannot disturb.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from striate.base.errors import ModelFileError
from striate.base.files import shell_name
from striate.base.marks import shown
from striate.experiment.events import EpochEnded, Event, Noted, Started, Stepped
from striate.experiment.history import History, metrics_of
from striate.experiment.live import FILE, Process, exists

EVERY = 0.5  # seconds between two looks
KILLED = 137  # a shell's code for a process that SIGKILL ended
COMING = 30.0  # seconds in which a run that has a recipe says more


@dataclass(frozen=True, slots=True)
class Ended:
    """The run that was watched is over, for now or for good.

    Args:
        state: how.
        message: what to say.
        exit_code: that of the run.
    """

    state: Literal["finished", "stopped", "failed", "killed"]
    message: str
    exit_code: int


class _Watch:
    """What was seen so far.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: Process | None = None
        self.notes = 0
        self.epochs = 0
        self.position: Any = None
        self.changed = 0

    def look(self) -> Iterator[Event]:
        """What is new since the last look."""
        now = _read(self.folder) or {}
        yield from self._begun(now)
        yield from self._epochs(now)
        yield from (Noted(shown(note)) for note in now.get("notes", [])[self.notes :])
        self.notes = len(now.get("notes", []))
        if now.get("position") and now["position"] != self.position:
            self.position = now["position"]
            yield Stepped(**self.position)

    def _begun(self, now: dict[str, Any]) -> Iterator[Event]:
        process = Process(**now["process"]) if "process" in now else None
        if process is None or process == self.process or not now["headline"]:
            return
        self.process, self.notes, self.position = process, len(now["notes"]), None
        self.epochs = min(self.epochs, len(metrics_of(self.folder).rows))  # less, if it was begun anew
        yield Started(shown(now["headline"]), tuple(map(shown, now["notes"])))

    def _epochs(self, now: dict[str, Any]) -> Iterator[Event]:
        path = self.folder / "metrics.csv"
        changed = path.stat().st_mtime_ns if path.exists() else 0
        if changed == self.changed:
            return
        self.changed = changed
        history = metrics_of(self.folder)
        epochs = now.get("epochs") or len(history.rows)
        for count in range(self.epochs + 1, len(history.rows) + 1):
            row, best = history.rows[count - 1], History(rows=history.rows[:count]).best
            memory = now.get("peak_memory", 0)
            yield EpochEnded(row=row, epochs=epochs, best=row is best, metric=history.metric, peak_memory=memory)
        self.epochs = len(history.rows)

    def ended(self) -> Ended | None:
        """How the run ended, if it has."""
        now = _read(self.folder)
        if (self.folder / "result.json").exists():
            return Ended("finished", f"finished; its report is {self.folder / 'report.html'}", 0)
        if now is None or self._taken_over(now):
            return None
        if now["state"] in ("stopped", "failed"):
            return Ended(now["state"], f"{now['state']}: {shown(now['message'])}", now["exit_code"])
        if Process(**now["process"]).gone() and _read(self.folder) == now:
            go_on = f"striate resume {shell_name(self.folder)}"
            return Ended("killed", f"its process was killed; continue with: {go_on}", KILLED)
        return None

    def _taken_over(self, now: dict[str, Any]) -> bool:
        """Whether another process holds the folder by now, and reads its data to go on."""
        try:
            holder = int((self.folder / ".lock").read_text())
        except (OSError, ValueError):
            return False
        return holder != now["process"]["pid"] and exists(holder)


def follow(folder: Path) -> Iterator[Event | Ended]:
    """What happens in a run, from what it has done already until it ends; the last is `Ended`.

    Args:
        folder: of a run; if it is not there, its beginning is waited for.

    Raises:
        ModelFileError: something else is there, or a run of which nothing says how it goes.
    """
    if not _begun(folder):
        yield Noted(f"{folder} has not begun; waiting for it")
        while not _begun(folder):
            time.sleep(EVERY)
    watch, deadline = _Watch(folder), time.monotonic() + COMING
    while True:
        ended = watch.ended()  # asked first: what came before the end is seen
        yield from watch.look()
        if ended:
            yield ended
            return
        if watch.process is None and time.monotonic() > deadline:
            _silent(folder)
        time.sleep(EVERY)


def _begun(folder: Path) -> bool:
    """Whether there is a run.

    Raises:
        ModelFileError: there is something else.
    """
    if (folder / "recipe.toml").exists():
        return True
    if folder.exists() and not folder.is_dir():
        raise ModelFileError("watch", "run", "the folder of a run", got=f"{folder}, a file", fix="name its folder")
    others = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    if (folder / "recipe.toml").exists():  # it came while the others were looked at
        return True
    if any(name not in (".lock", "checkpoints") and not name.startswith(".recipe.toml.") for name in others):
        fix = "name a folder that holds a recipe.toml, or one that is yet to come"
        raise ModelFileError("watch", "run", "the folder of a run", got=f"{folder}, which holds no run", fix=fix)
    return False


def _silent(folder: Path) -> None:
    fix = f"striate resume {shell_name(folder)} goes on with it"
    got = f"{folder}, of which no process tells anything"
    raise ModelFileError("watch", "run", f"one that writes {FILE}", got=got, fix=fix)


def _read(folder: Path) -> dict[str, Any] | None:
    """live.json; None where there is none, or it is not what a run writes."""
    try:
        value = json.loads((folder / FILE).read_bytes())
        Process(**value["process"])
        if value["position"] is not None:
            Stepped(**value["position"])
        whole = {"state", "headline", "notes", "epochs", "position"} <= value.keys()
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return value if whole else None
