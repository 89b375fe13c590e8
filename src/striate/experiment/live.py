"""RUN/live.json: where a run is right now, for another process that watches it.

It is written by the process that trains, at most once a second, whole or not at all; nothing depends on it.
"""

import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.experiment.events import EpochEnded, Event, Finished, Noted, Started, Stepped
from striate.experiment.track import End

EVERY = 1.0  # seconds between two writings
STARTED = 19  # place of the start time in /proc/PID/stat after the name, see proc(5)
FILE = "live.json"


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told from another that has its number later.

    Args:
        host: its machine.
        pid: its number there.
        started: when, in the system's own ticks; "" where that is not known.
    """

    host: str
    pid: int
    started: str

    def gone(self) -> bool:
        """Whether it surely runs no more; of another machine nothing is known."""
        return self.host == socket.gethostname() and (not exists(self.pid) or _started(self.pid) != self.started)


def this_process() -> Process:
    """The one that asks."""
    return Process(socket.gethostname(), os.getpid(), _started(os.getpid()))


def exists(pid: int) -> bool:
    """Whether some process of this machine has that number."""
    try:
        os.kill(pid, 0)  # no signal, only the question
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _started(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if words[0] == "Z" else words[STARTED]  # a zombie has ended


class Live:
    """Writes where the run is.

    Args:
        folder: of the run.
        epochs: of the whole run.
    """

    name = FILE

    def __init__(self, folder: Path, epochs: int) -> None:
        self.path = folder / FILE
        process = this_process()
        self.now: dict[str, Any] = {
            "state": "running",
            "process": {"host": process.host, "pid": process.pid, "started": process.started},
            "epochs": epochs,
            "headline": "",
            "notes": [],
            "position": None,
            "peak_memory": 0,
        }
        self.written = 0.0

    def show(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case Started(headline, notes):
                self.now |= {"headline": headline, "notes": [*notes]}
            case Stepped():
                if time.monotonic() - self.written < EVERY:
                    return
                self.now["position"] = {name: getattr(event, name) for name in Stepped.__slots__}
            case EpochEnded():
                self.now |= {"position": None, "peak_memory": event.peak_memory}
            case Noted(note):
                self.now["notes"].append(note)
            case Finished():
                self.now |= {"state": "finished", "position": None}
        self._write()

    def end(self, end: End) -> None:
        """Say how it ended."""
        self.now |= {"state": end.state, "message": end.message, "exit_code": end.exit_code}
        self._write()

    def _write(self) -> None:
        """Without waiting for the disk: after a power cut nobody asks where the run was just then."""
        temporary = self.path.with_name(f".{FILE}.tmp-{os.getpid()}")
        temporary.write_text(json.dumps(self.now | {"time": time.time()}))
        temporary.replace(self.path)
        self.written = time.monotonic()
