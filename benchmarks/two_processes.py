"""A step by two processes with a thread each, and by one process with two threads or one: the same batch, two cores.

    python benchmarks/two_processes.py [part of a name] … [--rounds 7]

All are what `striate train` runs (ours.py), on pictures that are already there; the two processes share every batch and
add up their gradients through gloo, on this machine's loopback.  Contestants take turns (contestants.py).  "exchange
alone" adds up as many bytes as there are gradients, with nothing to compute meanwhile.

Printed: medians of the seconds of a step, fastest to slowest; how many times as fast as one process with two threads,
and the same round by round, least to most; the same against one thread.
"""

import argparse
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import repeat

import torch
from torch.nn import functional as F

from contestants import Contestant, Entry, Record, compete, seated
from machine import heading
from ours import trainer
from striate.analysis.inspect import inspect
from striate.models.catalogue import build
from striate.training.engine import Division
from striate.training.joining import joined
from striate.training.optimisers import Settings
from striate.training.processes import ALONE, Processes
from striate.training.sync_batch_norm import synchronise

SAMPLES = 1_000_000  # pictures that the plan is to expect
Step = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Work:
    """What is trained: `batch` pictures of `shape` a step, `steps` of them a turn."""

    title: str
    model: str
    shape: tuple[int, int, int]
    batch: int
    steps: int


WORKS = (
    Work("LeNet-5, batch 64", "lenet5", (1, 32, 32), 64, 40),
    Work("LeNet-5, batch 256", "lenet5", (1, 32, 32), 256, 15),
    Work("ResNet-20, batch 128", "resnet20", (3, 32, 32), 128, 2),
    Work("ResNet-18, 224 px, batch 32", "resnet18", (3, 224, 224), 32, 1),
    Work("AlexNet 2012, 224 px, batch 64", "alexnet", (3, 224, 224), 64, 1),
)


def training(work: Work, processes: Processes) -> Step:
    """One update with this process's rows of a batch of noise."""
    network = build(work.model, in_channels=work.shape[0], image_size=work.shape[1])
    macs = inspect(network, work.shape).totals.macs
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(work.batch, *work.shape, generator=generator).contiguous(memory_format=torch.channels_last)
    y = torch.randint(10, (work.batch,), generator=generator)
    rows = processes.rows(work.batch)
    batch = x[rows], y[rows]
    ours = trainer(network, batch, F.cross_entropy, Settings(lr=0.001, momentum=0.9), macs=macs, samples=SAMPLES)
    synchronise(ours.state.model, processes)
    updates = ours.updates(repeat(batch), division=Division(processes, lambda _: work.batch))
    return lambda: next(updates)


def exchange(work: Work, processes: Processes) -> Step:
    """As many bytes as the network has gradients, added up."""
    flat = torch.zeros(sum(p.numel() for p in build(work.model, image_size=work.shape[1]).parameters()))
    return lambda: processes.sum(flat)


def alone(work: Work, threads: int) -> Contestant:
    """One process."""
    torch.set_num_threads(threads)
    step = training(work, ALONE)
    return Contestant(lambda: [step() for _ in range(work.steps)])


def two(work: Work, kind: str) -> Contestant:
    """The first of two processes; the other one goes along step by step, and ends when this one does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    other = [sys.executable, __file__, "--other", kind, work.title]
    subprocess.Popen(other, env=os.environ | place | {"RANK": "1", "LOCAL_RANK": "1"}, stderr=subprocess.DEVNULL)
    os.environ |= place | {"RANK": "0", "LOCAL_RANK": "0"}
    torch.set_num_threads(1)
    members = joined()
    step = KINDS[kind](work, members.__enter__())

    def turn(_kept: object = members) -> object:  # joined as long as the turn is there
        return [step() for _ in range(work.steps)]

    return Contestant(turn)


KINDS = {"training": training, "exchange": exchange}


def go_along(kind: str, title: str) -> None:
    """The second of two processes."""
    torch.set_num_threads(1)
    work = next(work for work in WORKS if work.title == title)
    with joined() as processes:
        step = KINDS[kind](work, processes)
        while True:
            step()


def measure(work: Work, rounds: int) -> Iterable[str]:
    """The lines about one network."""
    makers = {
        "two processes, a thread each": partial(two, work, "training"),
        "one process, two threads": partial(alone, work, 2),
        "one process, one thread": partial(alone, work, 1),
        "exchange alone": partial(two, work, "exchange"),
    }
    with seated([Entry(name, make) for name, make in makers.items()]) as seats:
        records = compete(seats, rounds)
    yield f"\n{work.title}, rounds: {rounds}, steps a turn: {work.steps}"
    for record in records:
        yield row(record, records[1], records[2], work)


def row(record: Record, threads: Record, thread: Record, work: Work) -> str:
    """One contestant's figures."""
    seconds = [value / work.steps for value in record.seconds]
    line = f"  {record.name:<29}{record.median / work.steps * 1e3:9.2f} ms"
    line += f" ({min(seconds) * 1e3:.2f} to {max(seconds) * 1e3:.2f})"
    if record.name == "exchange alone":
        return line
    ratio, least, most = record.times_as_fast_as(threads)
    rate = work.batch * work.steps / record.median
    single = record.times_as_fast_as(thread)[0]
    return f"{line}   {rate:9,.1f} pictures/s   x {ratio:.2f} ({least:.2f} to {most:.2f})   one thread x {single:.2f}"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="of the titles of the networks; none: all")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--other", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    if asked.other:
        go_along(asked.other, asked.parts[0])
    print(heading(), flush=True)
    for work in WORKS:
        if asked.parts and not any(part.lower() in work.title.lower() for part in asked.parts):
            continue
        for text in measure(work, asked.rounds):
            print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
