"""What the fault tests do to runs, and how they compare two of them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from striate.experiment.events import EpochEnded, Finished, Stepped
from striate.training.checkpoint import newest

PLAIN = {"threads": 1, "precision": "float32", "memory_format": "channels_last"}  # nothing to be tried first


def finish(events):
    """Drain a run; its outcome."""
    return [event for event in events if isinstance(event, Finished)][-1].outcome


def train(events):
    """All the epochs, without the report that comes after them; the events so far."""
    seen = []
    for event in events:
        seen.append(event)
        if isinstance(event, EpochEnded) and event.row.epoch == event.epochs:
            events.close()
    return seen


def stop_after(events, steps):
    """SIGTERM in the middle of a run, as it would come from outside."""
    made = 0
    for event in events:
        made += isinstance(event, Stepped)
        if made == steps:
            os.kill(os.getpid(), signal.SIGTERM)


def tensors(run):
    """Weights, optimiser and all that the newest checkpoint holds."""
    return newest(run / "checkpoints")[0].tensors


def rows(run):
    """metrics.csv without what a clock says."""
    lines = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    clocks = [number for number, name in enumerate(lines[0]) if name in ("seconds", "images_per_second")]
    return [[cell for number, cell in enumerate(line) if number not in clocks] for line in lines]


def alike(one, other):
    """Hold two runs to be equal but for rounding: weights, and every number of every epoch."""
    ours, theirs = tensors(one), tensors(other)
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=2e-2, atol=2e-3, msg=lambda m, n=name: f"{n}: {m}")
    for mine, its in zip(rows(one)[1:], rows(other)[1:], strict=True):
        assert [float(x) for x in mine] == pytest.approx([float(x) for x in its], rel=5e-3, abs=2e-2)


def same(one, other):
    """Whether two runs end in the same bits."""
    a, b = tensors(one), tensors(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a) and rows(one) == rows(other)


def command(*arguments):
    """A command line of ours, for another process."""
    return [sys.executable, "-m", "striate", *map(str, arguments)]


def process(*arguments, **options):
    """The command as a process that can be sent signals, with its lines on stderr."""
    return subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)


def told(*arguments, **options):
    """Run the command to its end: (exit code, stderr)."""
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, **{"timeout": 120, **options}
    )
    assert done.stdout == "" or done.returncode == 0
    return done.returncode, done.stderr


def children(pid):
    """The processes that a process has started and that are still there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
        except (OSError, ValueError):
            continue
    return found
