"""The native engine beside our torch engine: LeNet-5 on the real MNIST, with peers, and two sweeps of networks.

    python benchmarks/native.py DATA [--peers all] [--batch-sizes 64 256] [--rounds 5] [--only sweep|wide]

LeNet-5: the contestants of lenet5_mnist.py, each in a process of its own, an epoch a turn.  Printed are pictures/s
(median), how many times as fast as our torch engine that is (round by round: least to most), and the share of what the
processor can multiply and add (fma.py, in the same run): 2 FLOPs for each of 416,520 MACs forward, as many for the
gradient of the weights, and 298,920 MACs for the gradient of the input, which the first layer has no use for.  Below
stands how much of it is left with operands from the first cache, which no kernel does without.

Sweep: 12 small networks, batches of 64 made before, steps of both engines by turns.  Printed are steps/s of both, their
ratio, what the execution plan chooses and whether that is the faster one (within 5 %: either is right).

Wide: the same for networks with convolutions of 96 to 256 channels, whose limit the plan draws at `WIDE`.
"""

import argparse
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lenet5_mnist
from contestants import Contestant, Entry, Record, compete, seated
from fma import fma
from machine import heading
from ours import trainer
from peers import LR, MOMENTUM, Peer
from striate.experiment.native_steps import NativeSteps, described, native_plan
from striate.experiment.network import Network, network_of
from striate.experiment.recipe import Recipe, parse_recipe
from striate.models.card import Given
from striate.native.engine import Goal
from striate.native.library import library
from striate.training.engine import Objective, TrainState
from striate.training.forms import Form
from striate.training.optimisers import Settings, sgd
from striate.training.plan import Asked, Plan, machine

MACS = 416_520 + 416_520 + 298_920
BATCH, BATCHES = 64, 4
TIE = 0.05
SECONDS = 0.3  # that a turn of the sweep takes, about
GRAY, COLOUR = (1, 28, 28), (3, 32, 32)


def repeated(layers: str, times: int) -> str:
    """The same layers one after the other."""
    return ", ".join([layers] * times)


def halved(channels: int) -> str:
    """The usual layers that halve a map."""
    return f"conv {channels} 3x3 same, batch_norm, relu, maxpool 2"


HEAD = "flatten, linear 10"
SWEEP: tuple[tuple[str, tuple[int, int, int]], ...] = (
    (f"conv 8 5x5, relu, maxpool 2, {HEAD}", GRAY),
    (f"conv 8 5x5, batch_norm, relu, maxpool 2, {HEAD}", COLOUR),
    (f"conv 16 3x3 same, relu, maxpool 2, conv 32 3x3 same, relu, maxpool 2, {HEAD}", GRAY),
    (f"conv 16 3x3 same, batch_norm, relu, maxpool 2, conv 32 3x3 same, batch_norm, relu, maxpool 2, {HEAD}", COLOUR),
    ("conv 32 3x3, relu, conv 64 3x3, relu, maxpool 2, flatten, linear 128, relu, linear 10", GRAY),
    ("conv 24 5x5, maxpool 2, relu, conv 48 5x5, maxpool 2, relu, flatten, linear 256, relu, linear 10", COLOUR),
    (f"{repeated('conv 8 3x3 same, relu', 6)}, adaptivemeanpool 1, {HEAD}", GRAY),
    (f"{repeated('conv 16 3x3 same, batch_norm, relu', 6)}, maxpool 4, flatten, linear 64, relu, linear 10", COLOUR),
    (f"{repeated('conv 32 3x3 same, relu, conv 32 3x3 same, relu, maxpool 2', 2)}, {HEAD}", COLOUR),
    (f"{repeated('conv 32 3x3 same, batch_norm, relu, maxpool 2', 3)}, {HEAD}", COLOUR),
    (f"{repeated('conv 64 3x3 same, relu, maxpool 2', 2)}, {HEAD}", GRAY),
    (
        f"{repeated('conv 64 3x3 same, batch_norm, relu, conv 64 3x3 same, batch_norm, relu, maxpool 2', 2)}, {HEAD}",
        COLOUR,
    ),
)

WIDE: tuple[tuple[str, tuple[int, int, int]], ...] = (
    (f"{repeated('conv 96 3x3 same, relu, maxpool 2', 2)}, {HEAD}", GRAY),
    (f"{repeated('conv 128 3x3 same, batch_norm, relu, maxpool 2', 2)}, {HEAD}", COLOUR),
    (f"conv 32 5x5 same, relu, maxpool 2, conv 96 5x5 same, relu, maxpool 2, {HEAD}", GRAY),
    (f"{halved(32)}, {halved(64)}, {halved(128)}, {HEAD}", COLOUR),
    (f"conv 64 3x3 same, relu, maxpool 2, {repeated('conv 128 3x3 stride 2, relu', 2)}, {HEAD}", COLOUR),
    (f"{repeated('conv 96 7x7 same, relu, maxpool 2', 2)}, {HEAD}", GRAY),
    (f"conv 64 3x3 stride 2, relu, {repeated('conv 128 1x1, relu', 3)}, {HEAD}", COLOUR),
    (f"{halved(128)}, conv 128 3x3 same groups 128, batch_norm, relu, conv 128 1x1, batch_norm, relu, {HEAD}", COLOUR),
    (f"{halved(64)}, {halved(128)}, {halved(256)}, {HEAD}", COLOUR),
    (f"{halved(32)}, {halved(64)}, {repeated('conv 256 3x3 same, relu', 2)}, {HEAD}", GRAY),
    (f"{halved(64)}, conv 256 1x1, batch_norm, relu, conv 64 1x1, relu, {HEAD}", COLOUR),
)


@dataclass(frozen=True, slots=True)
class Subject:
    """A network of the sweep.

    Args:
        notation: its layers.
        shape: of a sample.
    """

    notation: str
    shape: tuple[int, int, int]

    @property
    def recipe(self) -> Recipe:
        """What `striate train` would be told."""
        return parse_recipe({"model": self.notation, "batch_size": BATCH, "lr": LR, "momentum": MOMENTUM})

    def built(self) -> Network:
        """The network."""
        channels, size, _ = self.shape
        given = Given(num_classes=10, in_channels=channels, image_size=size, dropout=None)
        return network_of(self.recipe, given)

    def batches(self) -> list[tuple[Tensor, Tensor]]:
        """Samples by chance."""
        chance = torch.Generator().manual_seed(0)
        return [
            (
                torch.randn(BATCH, *self.shape, generator=chance).contiguous(memory_format=torch.channels_last),
                torch.randint(0, 10, (BATCH,), generator=chance),
            )
            for _ in range(BATCHES)
        ]

    def plan(self) -> str:
        """What the execution plan chooses, or why it does not choose the native engine."""
        found = native_plan(self.recipe, self.built(), machine(Asked(device="cpu")))
        return "native" if isinstance(found, Plan) else f"torch ({found})"


def torch_steps(subject: Subject, steps: int) -> Contestant:
    """In a child: steps of the torch engine, planned as `striate train` plans them."""
    batches, network = subject.batches(), subject.built().module
    ours = trainer(network, batches[0], F.cross_entropy, Settings(lr=LR, momentum=MOMENTUM), macs=1, samples=10**6)
    return Contestant(partial(taken, ours.updates(cycle(batches)), steps))


def native_steps(subject: Subject, steps: int) -> Contestant:
    """In a child: steps of the native engine."""
    built, found = subject.built(), library()
    assert found is not None
    network: nn.Module = Form("float32", "contiguous").place(built.module, "cpu")
    engine = NativeSteps(subject.recipe, Goal(), described(built), found, samples=10**6)
    state = TrainState(model=network, optimizer=sgd(network, Settings(lr=LR, momentum=MOMENTUM)), seed=0)

    endless = cycle(subject.batches())
    updates = engine(state, endless, objective=Objective(F.cross_entropy), lr_at=lambda _: LR)
    return Contestant(partial(taken, updates, steps))


def taken(updates: Iterator[float], steps: int) -> int:
    """The next steps of a loop that goes on from turn to turn, as an epoch's does."""
    return sum(1 for _ in islice(updates, steps))


def steps_of(subject: Subject) -> int:
    """How many native steps take `SECONDS`, about."""
    with seated([Entry("probe", partial(native_steps, subject, 4))]) as seats:
        seats[0].turn()
        seconds, _ = seats[0].turn()
    return max(4, round(4 * SECONDS / seconds))


def sweep(networks: Sequence[tuple[str, tuple[int, int, int]]], rounds: int) -> None:
    """Every network by both engines, and the plan's choice."""
    print(f"\n{len(networks)} networks, batches of {BATCH}, rounds: {rounds}")
    right = 0
    for notation, shape in networks:
        subject = Subject(notation, shape)
        steps, chosen = steps_of(subject), subject.plan()
        entries = [Entry(make.__name__, partial(make, subject, steps)) for make in (native_steps, torch_steps)]
        with seated(entries) as seats:
            native, theirs = compete(seats, rounds)
        ratio, least, most = native.times_as_fast_as(theirs)
        good = ratio > 1 - TIE if chosen == "native" else ratio < 1 + TIE
        right += good
        print(
            f"  x {ratio:5.2f} ({least:.2f} to {most:.2f})   native {steps / native.median:7.1f} steps/s"
            f"   torch {steps / theirs.median:7.1f}   plan: {chosen}, {'right' if good else 'WRONG'}"
            f"   {'x'.join(map(str, shape))} {notation}",
            flush=True,
        )
    print(f"  the plan is right in {right} of {len(networks)}")


def lenet5(rivals: list[Peer], asked: argparse.Namespace, batch_size: int) -> None:
    """LeNet-5 by all, an epoch a turn."""
    contestants, accuracies, products = lenet5_mnist.race(rivals, fma(), asked, batch_size)
    best = max(rates.registers for rates in products.values)
    near = sorted(rates.cache for rates in products.values)
    base = contestants[0]
    print(f"\nLeNet-5, batch size {batch_size}, {asked.pictures:,} pictures an epoch, rounds: {asked.rounds}")
    for record, accuracy in zip(contestants, accuracies, strict=True):
        print(f"{row(record, base, asked.pictures, best)}   accuracy {accuracy:.4f}")
    print(
        f"  multiply and add: {best / 1e9:,.1f} GFLOP/s; with operands from the first cache"
        f" {statistics.median(near) / 1e9:,.1f} ({near[0] / 1e9:,.1f} to {near[-1] / 1e9:,.1f})"
    )
    if rivals:
        rest = min(contestants[2:], key=lambda record: record.median)
        ratio, least, most = contestants[1].times_as_fast_as(rest)
        print(f"  native engine x {ratio:.2f} ({least:.2f} to {most:.2f}) the fastest peer, {rest.name}", flush=True)


def row(record: Record, base: Record, pictures: int, best: float) -> str:
    """One contestant's row, its accuracy apart."""
    ratio, least, most = record.times_as_fast_as(base)
    flops = 2 * MACS * pictures
    return (
        f"  {record.name:<32} {pictures / record.median:>7,.0f} pictures/s   x {ratio:.2f} ({least:.2f} to {most:.2f})"
        f"   {flops / record.median / best:5.1%} of multiply and add ({flops / min(record.seconds) / best:.1%} at best)"
    )


def main() -> None:
    parser = lenet5_mnist.parser(__doc__, rounds=5, pictures=12_000)
    parser.add_argument("--only", choices=["lenet5", "sweep", "wide"], help="one part; left out: all")
    asked = parser.parse_args()
    print(heading(lenet5_mnist.LIBRARIES), flush=True)
    print(library(), flush=True)
    if asked.only in (None, "lenet5"):
        rivals = lenet5_mnist.rivals_of(asked)
        for batch_size in asked.batch_sizes:
            lenet5(rivals, asked, batch_size)
    if asked.only in (None, "sweep"):
        sweep(SWEEP, asked.rounds)
    if asked.only in (None, "wide"):
        sweep(WIDE, asked.rounds)


if __name__ == "__main__":
    main()
