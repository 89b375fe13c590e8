"""Epochs of LeNet-5 on the real MNIST: Striate, the plain PyTorch loop and, with --peers all, others.

    python benchmarks/lenet5_mnist.py DATA [--peers all] [--batch-sizes 64 256] [--rounds 3] [--pictures 60000]

Each contestant is a process of its own (contestants.py); they take turns, an epoch a turn, so that a noisy machine is
noisy for all, and the first epoch of each warms up and is not counted.  All train the same network (61,706 parameters)
with SGD and momentum on the same pictures.  Printed are the median of the rounds in pictures/s and in s (fastest to
slowest), how many times the speed of the PyTorch example without workers that is (the same round by round: least to
most), the share of what a large matrix product reaches in the same run (2 FLOPs for each of 416,520 MACs and of three
passes, forward and back), and the accuracy on the test pictures after all the epochs, which says that everyone has
trained.
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import peers
from contestants import Contestant, Entry, Record, compete, seated
from machine import Peak, heading, peak
from ours import trainer
from peers import AT_ONCE, EXAMPLE, LR, MEAN, MOMENTUM, MORE, STD, Peer
from striate.data.augment import Augment
from striate.data.batches import Feed, evaluation_batches, training_batches
from striate.data.items import ArrayItems
from striate.data.picture import Picture
from striate.data.pictures import Held
from striate.data.preprocess import Preprocess
from striate.data.samples import Samples
from striate.data.source import open_source
from striate.data.split import Split
from striate.deploy.native_network import pixels_of
from striate.experiment.native_steps import NativeSteps
from striate.experiment.recipe import parse_recipe
from striate.models.catalogue import build
from striate.models.chain import as_row
from striate.models.describe import describe
from striate.native.augment import moved, windows
from striate.native.engine import Goal
from striate.native.library import library
from striate.training.engine import Objective, TrainState
from striate.training.forms import Form
from striate.training.optimisers import Settings, sgd
from striate.training.plan import Asked, machine

INSTALL = "pip install -c constraints.txt -e '.[bench]'"
LIBRARIES = ("torch", "numpy", "pillow", "lightning", "keras", "jax", "jaxlib", "flax", "optax")
MACS, PASSES = 416_520, 3
SHAPE = (1, 32, 32)
EPOCHS = 20  # that the plan is to expect


def feed_of(split: Split, batch_size: int) -> Feed:
    """Batches as `striate train` makes them, augmentation off as in the other contestants."""
    preprocess = Preprocess(Picture(1, 28, 28, pad=2), (MEAN,), (STD,))
    passes = windows if library() else None
    return Feed(split, preprocess, Augment(), seed=0, batch_size=batch_size, num_classes=10, windows=passes)


def striate_engine(split: Split, batch_size: int) -> peers.Contestant:
    """Striate's torch engine as `striate train` runs it where it is asked for."""
    feed = feed_of(split, batch_size)
    batch = next(iter(training_batches(feed, 0)))
    settings, samples = Settings(lr=LR, momentum=MOMENTUM), EPOCHS * len(split)
    ours = trainer(build("lenet5"), batch, F.cross_entropy, settings, macs=MACS, samples=samples)
    epochs = iter(range(1000))

    def epoch() -> None:
        for _ in ours.updates(training_batches(feed, next(epochs))):
            pass

    return peers.Contestant(epoch, partial(classified, ours.state.model, feed.preprocess))


def native_engine(split: Split, batch_size: int) -> peers.Contestant:
    """Striate's native engine as `striate train` runs it."""
    machine(Asked(device="cpu"))  # memory that is let go of stays with the process
    feed = replace(feed_of(split, batch_size), moved=moved)
    network = Form("float32", "contiguous").place(build("lenet5"), "cpu")
    description, found = describe(as_row(network, SHAPE), SHAPE), library()
    assert found is not None
    steps = NativeSteps(
        parse_recipe({"batch_size": batch_size}), Goal(), description, found, len(split), pixels_of(feed.preprocess)
    )
    state = TrainState(model=network, optimizer=sgd(network, Settings(lr=LR, momentum=MOMENTUM)), seed=0)
    epochs = iter(range(1000))

    def epoch() -> None:
        batches = training_batches(feed, next(epochs))
        for _ in steps(state, batches, objective=Objective(F.cross_entropy), lr_at=lambda _: LR):
            pass

    return peers.Contestant(epoch, partial(classified, network, feed.preprocess))


@torch.inference_mode()
def classified(model: nn.Module, preprocess: Preprocess, pictures: Split) -> np.ndarray:
    """The classes that a network tells."""
    model.eval()
    return np.concatenate([model(x).argmax(1).numpy() for x, _ in evaluation_batches(pictures, preprocess, AT_ONCE)])


OURS = (
    Peer("Striate, torch engine", striate_engine),
    *((Peer("Striate, native engine", native_engine),) if library() else ()),
)


def entry(peer: Peer, data: Path, pictures: int, batch_size: int) -> Entry:
    """A contestant that reads its own pictures."""
    return Entry(peer.name, partial(made, peer.make, data, pictures, batch_size))


def made(make: peers.Maker, data: Path, pictures: int, batch_size: int) -> Contestant:
    """In a child: an epoch a turn, and the accuracy on the test pictures in the end."""
    parts = open_source(str(data)).parts
    train, test = first(parts["train"], pictures), first(parts["test"], pictures)
    contestant = make(train, batch_size)
    return Contestant(contestant.epoch, lambda: float((contestant.classify(test) == test.labels.numpy()).mean()))


def first(samples: Samples, count: int) -> Split:
    """The first pictures of a part."""
    assert isinstance(samples.items, ArrayItems)
    images, labels = samples.items.array[:count, ..., None].copy(), samples.labels[:count].copy()
    return Split(Held(images), torch.from_numpy(labels), samples.names[:count])


def race(
    rivals: list[Peer], yardstick: Entry, asked: argparse.Namespace, batch_size: int
) -> tuple[list[Record], list[float], Record]:
    """Make all contestants anew and let them run: their turns, their accuracies, and the yardstick's turns."""
    entries = [entry(peer, asked.data, asked.pictures, batch_size) for peer in (*OURS, *rivals)]
    with seated([*entries, yardstick]) as seats:
        *contestants, measured = compete(seats, asked.rounds)
        return contestants, [seat.verdict() for seat in seats[: len(entries)]], measured


def measure(rivals: list[Peer], asked: argparse.Namespace, batch_size: int) -> None:
    """Let all run and print the table."""
    contestants, accuracies, products = race(rivals, peak(), asked, batch_size)
    reached = Peak.of(products)
    base = next(record for record in contestants if record.name == EXAMPLE[0].name)
    print(f"\nbatch size {batch_size}, {asked.pictures:,} pictures an epoch, rounds: {asked.rounds}")
    for record, accuracy in zip(contestants, accuracies, strict=True):
        print(f"{row(record, base, asked.pictures, reached.best)}   accuracy {accuracy:.4f}")
    print(f"  {reached}", flush=True)


def row(record: Record, base: Record, pictures: int, best: float) -> str:
    """One contestant's row, its accuracy apart."""
    ratio, least, most = record.times_as_fast_as(base)
    share = 2 * PASSES * MACS * pictures / record.median / best
    return (
        f"  {record.name:<32} {pictures / record.median:>7,.0f} pictures/s   {record.median:6.2f} s"
        f" ({min(record.seconds):.2f} to {max(record.seconds):.2f})   x {ratio:.2f} ({least:.2f} to {most:.2f})"
        f"   {share:4.1%} of peak"
    )


def installed(rivals: tuple[Peer, ...]) -> list[Peer]:
    """Those that can run here; who cannot is said."""
    for peer in rivals:
        if lacking := peer.lacking():
            print(f"{peer.name}: left out, {', '.join(lacking)} not installed: {INSTALL}")
    return [peer for peer in rivals if not peer.lacking()]


def parser(text: str | None, *, rounds: int, pictures: int) -> argparse.ArgumentParser:
    """The command line of an epoch a turn, with these defaults."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("data", type=Path, help="folder of MNIST's IDX files")
    made.add_argument("--peers", choices=["example", "all"], default="example")
    made.add_argument("--batch-sizes", type=int, nargs="+", default=[64, 256])
    made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--pictures", type=int, default=pictures, help="how many to train on")
    return made


def rivals_of(asked: argparse.Namespace) -> list[Peer]:
    """The peers that are asked for and can run here."""
    return installed(EXAMPLE + (MORE if asked.peers == "all" else ()))


def main() -> None:
    asked = parser(__doc__, rounds=3, pictures=60_000).parse_args()
    print(heading(LIBRARIES), flush=True)
    rivals = rivals_of(asked)
    for batch_size in asked.batch_sizes:
        measure(rivals, asked, batch_size)


if __name__ == "__main__":
    main()
