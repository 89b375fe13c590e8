import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

PATIENCE = 120  # seconds
NETWORK = "conv 4 3x3, batchnorm, relu, maxpool 4, flatten, dropout 0.2, linear 3"


@dataclass
class Launched:
    """torchrun and what it started."""

    process: subprocess.Popen
    run: Path

    def until_trained(self, epochs):
        """Wait until so many epochs are complete."""
        until = time.monotonic() + PATIENCE
        file = self.run / "metrics.csv"
        while not file.exists() or file.read_text().count("\n") <= epochs:
            assert time.monotonic() < until
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.02)

    def workers(self):
        """Process numbers by rank."""
        number = self.process.pid
        children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        found = {}
        for child in map(int, children):
            variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            ranks = [int(value[5:]) for value in variables if value.startswith(b"RANK=")]
            found |= dict.fromkeys(ranks, child)
        return found

    def end(self):
        """Exit code, stdout and stderr."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """An .npz of 53 pictures in three classes: no number of processes divides it."""
    rng = np.random.default_rng(0)
    y = np.arange(53) % 3
    x = rng.integers(0, 60, (len(y), 28, 28)).astype(np.uint8)
    for number, kind in enumerate(y):
        x[number, 5 + 7 * kind : 12 + 7 * kind, 4:24] = 200
    path = tmp_path_factory.mktemp("drawn") / "drawn.npz"
    np.savez(path, x=x, y=y, class_names=np.array(["a", "b", "c"]))
    return path


@pytest.fixture
def launch(tmp_path):
    """Start `striate` in several processes: (processes, command, *arguments, run=, restarts=)."""
    started = []

    def start(processes, command, *arguments, run, restarts=0):
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        torchrun += ["--max-restarts", str(restarts), "-m", "--"]
        one = subprocess.Popen(
            [sys.executable, *(torchrun if processes > 1 else ["-m"]), "striate", command, *map(str, arguments)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        )
        started.append(one)
        return Launched(one, run)

    yield start
    for one in started:
        one.kill()
        one.communicate()


@pytest.fixture
def trained(launch, drawn):
    """Start a small run with everything that draws: (processes, run, epochs=, restarts=)."""

    def start(processes, run, *more, epochs=3, restarts=0):
        options = {"model": NETWORK, "data": drawn, "epochs": epochs, "batch-size": 8, "lr": 0.01, "run": run}
        flags = [text for name, value in options.items() for text in (f"--{name}", value)]
        changes = ["augment.shift=2", "augment.mixup=0.3", "loss.class_weights=balanced", "update.ema_decay=0.9"]
        return launch(processes, "train", *flags, *changes, *more, run=run, restarts=restarts)

    return start
