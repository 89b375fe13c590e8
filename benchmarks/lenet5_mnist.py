"""One epoch of LeNet-5 on the real MNIST: Striate, the plain PyTorch loop and, with --peers all, others.

    python benchmarks/lenet5_mnist.py DATA [--peers all] [--batch-sizes 64 256] [--rounds 3] [--pictures 60000]

All run in one process, one after the other, round by round, so that a noisy machine is noisy for all.
Each contestant trains the same network (61,706 parameters) with SGD and momentum on the same pictures;
printed are pictures/s (median of the rounds) and how many times the PyTorch example's that is.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional as F

from peers import EXAMPLE, MORE, Epoch
from striate.data.augment import Augment
from striate.data.batches import training_batches
from striate.data.picture import Picture
from striate.data.preprocess import Preprocess
from striate.data.source import open_source
from striate.data.split import Split
from striate.models.catalogue import build
from striate.training.engine import TrainState, fit
from striate.training.optimisers import sgd
from striate.training.plan import make_plan

MEAN, STD, LR = 0.1307, 0.3081, 0.02


def striate_engine(split: Split, batch_size: int) -> Epoch:
    """Striate's torch engine as `striate train` runs it, augmentation off as in the other contestants."""
    plan = make_plan("cpu", 0)
    model = plan.place(build("lenet5"))
    state = TrainState(model=model, optimizer=sgd(model, LR, 0.9, 0.0), seed=0)
    preprocess = Preprocess(Picture(1, 28, 28, pad=2), (MEAN,), (STD,))
    epochs = iter(range(1000))

    def epoch() -> None:
        batches = training_batches(split, preprocess, Augment(), seed=0, epoch=next(epochs), batch_size=batch_size)
        for _ in fit(state, batches, loss_fn=F.cross_entropy, lr_at=lambda _: LR):
            pass

    return epoch


def measure(contestants: dict[str, Epoch], rounds: int) -> dict[str, list[float]]:
    """Seconds an epoch of every contestant in every round, interleaved, after one epoch to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, epoch in contestants.items():
            start = time.perf_counter()
            epoch()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def table(seconds: dict[str, list[float]], pictures: int, batch_size: int) -> str:
    """One line a contestant."""
    base = statistics.median(seconds[next(iter(EXAMPLE))])
    lines = [f"batch size {batch_size}, {pictures:,} pictures an epoch"]
    for name, times in seconds.items():
        middle = statistics.median(times)
        lines.append(
            f"  {name:<34} {pictures / middle:>9,.0f} pictures/s   {middle:6.2f} s "
            f"({min(times):.2f} to {max(times):.2f})   x {base / middle:.2f}"
        )
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of MNIST's IDX files")
    parser.add_argument("--peers", choices=["example", "all"], default="example")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=60_000)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    asked = arguments()
    samples = open_source(str(asked.data)).parts["train"]
    images = torch.from_numpy(samples.items[: asked.pictures])[:, None]
    labels = torch.from_numpy(samples.labels[: asked.pictures])
    split = Split(images, labels, samples.names[: asked.pictures])
    peers: dict[str, Callable[[Split, int], Epoch]] = EXAMPLE | (MORE if asked.peers == "all" else {})
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {os.cpu_count()} cores, {platform.processor()}"
    )
    for batch_size in asked.batch_sizes:
        contestants = {"Striate, torch engine": striate_engine(split, batch_size)}
        contestants |= {name: make(split, batch_size) for name, make in peers.items()}
        print(table(measure(contestants, asked.rounds), len(labels), batch_size), flush=True)


if __name__ == "__main__":
    main()
