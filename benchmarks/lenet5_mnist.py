"""One epoch of LeNet-5 on the real MNIST: Striate, the plain PyTorch loop and, with --peers all, others.

    python benchmarks/lenet5_mnist.py DATA [--peers all] [--batch-sizes 64 256] [--rounds 3] [--pictures 60000]

All run in one process, one after the other, round by round, so that a noisy machine is noisy for all; the first
epoch of each warms up and is not counted.  Each contestant trains the same network (61,706 parameters) with SGD and
momentum on the same pictures.  Printed are the median of the rounds in pictures/s and in s (fastest to slowest),
how many times the speed of the PyTorch example without workers that is (the same round by round: least to most),
and the accuracy on the test pictures after all the epochs, which says that everyone has trained.
"""

import argparse
import datetime
import os
import platform
import shlex
import statistics
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from peers import AT_ONCE, EXAMPLE, LR, MEAN, MOMENTUM, MORE, STD, Contestant, Peer
from striate.data.augment import Augment
from striate.data.batches import Feed, evaluation_batches, training_batches
from striate.data.items import ArrayItems
from striate.data.picture import Picture
from striate.data.pictures import Held
from striate.data.preprocess import Preprocess
from striate.data.samples import Samples
from striate.data.source import open_source
from striate.data.split import Split
from striate.models.catalogue import build
from striate.training.engine import Objective, TrainState, fit
from striate.training.optimisers import Settings, sgd
from striate.training.plan import make_plan

INSTALL = "pip install -c constraints.txt -e '.[bench]'"
LIBRARIES = ("torch", "numpy", "pillow", "lightning", "keras", "jax", "jaxlib", "flax", "optax")


def striate_engine(split: Split, batch_size: int) -> Contestant:
    """Striate's torch engine as `striate train` runs it, augmentation off as in the other contestants."""
    plan = make_plan("cpu", 0)
    model = plan.place(build("lenet5"))
    optimizer = sgd(model, Settings(lr=LR, momentum=MOMENTUM))
    state, objective = TrainState(model=model, optimizer=optimizer, seed=0), Objective(F.cross_entropy)
    preprocess = Preprocess(Picture(1, 28, 28, pad=2), (MEAN,), (STD,))
    feed = Feed(split, preprocess, Augment(), seed=0, batch_size=batch_size, num_classes=10)
    epochs = iter(range(1000))

    def epoch() -> None:
        for _ in fit(state, training_batches(feed, next(epochs)), objective=objective, lr_at=lambda _: LR):
            pass

    @torch.inference_mode()
    def classify(pictures: Split) -> np.ndarray:
        model.eval()
        batches = evaluation_batches(pictures, preprocess, AT_ONCE)
        return np.concatenate([model(x).argmax(1).numpy() for x, _ in batches])

    return Contestant(epoch, classify)


def measure(contestants: dict[str, Contestant], rounds: int) -> dict[str, list[float]]:
    """Seconds an epoch of every contestant in every round, interleaved, after one epoch to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, contestant in contestants.items():
            start = time.perf_counter()
            contestant.epoch()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def line(name: str, times: list[float], base: list[float], pictures: int) -> str:
    """One contestant's row, its accuracy apart."""
    middle = statistics.median(times)
    ratio = statistics.median(base) / middle
    ratios = [of_base / own for of_base, own in zip(base, times, strict=True)]
    return (
        f"  {name:<32} {pictures / middle:>7,.0f} pictures/s   {middle:6.2f} s ({min(times):.2f} to {max(times):.2f})"
        f"   x {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


def compete(peers: list[Peer], train: Split, test: Split, batch_size: int, rounds: int) -> None:
    """Make all contestants anew, run them and print the table."""
    contestants = {"Striate, torch engine": striate_engine(train, batch_size)}
    contestants |= {peer.name: peer.make(train, batch_size) for peer in peers}
    seconds = measure(contestants, rounds)
    print(f"\nbatch size {batch_size}, {len(train):,} pictures an epoch, rounds: {rounds}")
    for name, times in seconds.items():
        accuracy = float((contestants[name].classify(test) == test.labels.numpy()).mean())
        row = line(name, times, seconds[EXAMPLE[0].name], len(train))
        print(f"{row}   accuracy {accuracy:.4f}", flush=True)


def installed(peers: tuple[Peer, ...]) -> list[Peer]:
    """Those that can run here; who cannot is said."""
    for peer in peers:
        if lacking := peer.lacking():
            print(f"{peer.name}: left out, {', '.join(lacking)} not installed: {INSTALL}")
    return [peer for peer in peers if not peer.lacking()]


def first(samples: Samples, count: int) -> Split:
    """The first pictures of a part."""
    assert isinstance(samples.items, ArrayItems)
    images, labels = samples.items.array[:count, ..., None].copy(), samples.labels[:count].copy()
    return Split(Held(images), torch.from_numpy(labels), samples.names[:count])


def heading() -> str:
    """What a reader needs to judge the numbers: when, how, on what, with what."""
    libraries = [f"{name} {metadata.version(name)}" for name in LIBRARIES if _is_installed(name)]
    today = datetime.datetime.now(datetime.UTC)
    command = shlex.join(["python", *sys.argv])
    return (
        f"{today:%Y-%m-%d %H:%M} UTC   {command}\n"
        f"{_processor()}, {os.cpu_count()} cores, torch on {torch.get_num_threads()}, "
        f"load before the start: {os.getloadavg()[0]:.1f}\n"
        f"Python {platform.python_version()}, {', '.join(libraries)}"
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of MNIST's IDX files")
    parser.add_argument("--peers", choices=["example", "all"], default="example")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=60_000, help="how many to train on")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    asked = arguments()
    parts = open_source(str(asked.data)).parts
    train, test = first(parts["train"], asked.pictures), first(parts["test"], asked.pictures)
    print(heading(), flush=True)
    peers = installed(EXAMPLE + (MORE if asked.peers == "all" else ()))
    for batch_size in asked.batch_sizes:
        compete(peers, train, test, batch_size, asked.rounds)


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _processor() -> str:
    """The model's name, which Python's platform module does not know on Linux."""
    described = Path("/proc/cpuinfo")
    rows = described.read_text().splitlines() if described.exists() else []
    return next((row.split(": ")[1] for row in rows if row.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
