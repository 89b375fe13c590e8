"""A training step of the usual networks: Striate and the plain PyTorch loop, on pictures that are already there.

    python benchmarks/training.py [part of a name] … [--rounds 7] [--batch N] [--size PIXELS]

Contestants and matrix products are processes of their own that take turns (contestants.py), a step a turn.  Striate is
what `striate train` runs: its plan, its engine, its optimiser.  Plain PyTorch is the same network of torch's own layers
(nn.LocalResponseNorm, nn.Dropout, ReLUs that write in place as torchvision's do), float32, NCHW, the C library's
allocator as it comes, and a loop of five lines.  Both train GoogLeNet with its two heads.

Printed: medians of the seconds of a step, fastest to slowest; how many times as fast as plain PyTorch, and the same
round by round, least to most; FLOP/s, which are 2 FLOPs for each of the network's MACs (`striate.inspect`, without
GoogLeNet's heads, half a hundredth) and pass (forward, gradient of the input, gradient of the weights); their share of
what a large matrix product reaches in the same run, the better of float32's and bfloat16's.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contestants import Contestant, Entry, Record, compete, seated
from machine import Peak, heading, peak
from ours import trainer
from striate.analysis.inspect import inspect
from striate.layers.dropout import Dropout
from striate.layers.local_response_norm import LocalResponseNorm
from striate.models.catalogue import build, card, training_form
from striate.training.optimisers import Settings

LR, MOMENTUM, WEIGHT_DECAY = 0.001, 0.9, 5e-4
SAMPLES = 1_000_000  # pictures that the plan is to expect
PASSES = 3  # forward, gradient of the input, gradient of the weights


@dataclass(frozen=True, slots=True)
class Work:
    """What is trained.

    Args:
        title: printed.
        model: its name in the catalogue.
        size: side of the picture in pixels.
        batch: pictures a step.
        wanted: how many times plain PyTorch's speed is to be shown.
    """

    title: str
    model: str
    size: int
    batch: int
    wanted: float

    @property
    def macs(self) -> int:
        """Of a picture's way forward."""
        return inspect(build(self.model, image_size=self.size), (3, self.size, self.size)).totals.macs

    @property
    def flops(self) -> int:
        """Of a step."""
        return 2 * PASSES * self.batch * self.macs


WORKS = (
    Work("AlexNet 2012 with LRN", "alexnet", 224, 64, 4.0),
    Work("GoogLeNet 2014 with LRN", "googlenet", 224, 32, 3.5),
    Work("GoogLeNet with batch norm", "googlenet-bn", 224, 32, 3.5),
    Work("ResNet-18", "resnet18", 224, 32, 2.8),
    Work("ResNet-20", "resnet20", 32, 128, 2.5),
)


def striate(work: Work) -> Contestant:
    """The steps of `striate train`."""
    x, y = batch_of(work)
    batch = x.contiguous(memory_format=torch.channels_last), y  # as the feed makes them
    settings = Settings(lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    ours = trainer(network_of(work), batch, loss_of(work), settings, macs=work.macs, samples=SAMPLES)
    updates = ours.updates(repeat(batch))
    return Contestant(lambda: next(updates), verdict=lambda: str(ours.plan))


def plain(work: Work) -> Contestant:
    """The loop that everybody writes."""
    model = of_torch(network_of(work))
    optimizer = torch.optim.SGD(model.parameters(), LR, MOMENTUM, weight_decay=WEIGHT_DECAY)
    (x, y), loss_fn = batch_of(work), loss_of(work)

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return Contestant(step, verdict=lambda: "float32, NCHW, the C library's allocator")


def network_of(work: Work) -> nn.Module:
    """What is trained, the heads of GoogLeNet included."""
    return training_form(work.model, build(work.model, image_size=work.size), seed=0)


def loss_of(work: Work) -> Callable[..., Tensor]:
    """Cross-entropy, with that of the heads if there are any."""
    with_heads = card(work.model).loss
    return with_heads(F.cross_entropy) if with_heads else F.cross_entropy


def batch_of(work: Work) -> tuple[Tensor, Tensor]:
    """Noise, with the mean and the deviation that normalised pictures have, and labels by chance."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(work.batch, 3, work.size, work.size, generator=generator)
    return x, torch.randint(10, (work.batch,), generator=generator)


def of_torch(model: nn.Module) -> nn.Module:
    """The same network with torch's layers in place of ours, in place."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            setattr(module, name, torchs(child).train(child.training))
    return model


def torchs(layer: nn.Module) -> nn.Module:
    """What torch has for a layer."""
    if isinstance(layer, LocalResponseNorm):
        return nn.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k)
    if isinstance(layer, Dropout):
        return nn.Dropout(layer.p)
    return nn.ReLU(inplace=True) if isinstance(layer, nn.ReLU) else layer


def measure(work: Work, rounds: int) -> Iterator[str]:
    """The lines about one network."""
    entries = [Entry("Striate", partial(striate, work)), Entry("plain PyTorch", partial(plain, work))]
    with seated([*entries, peak()]) as seats:
        ours, theirs, products = compete(seats, rounds)
        forms = [seat.verdict() for seat in seats[:2]]
    reached = Peak.of(products)
    yield f"\n{work.title}, {work.size} px, batch {work.batch}, rounds: {rounds}"
    for record, form in ((ours, forms[0]), (theirs, forms[1])):
        yield row(record, theirs, work, reached.best) + f"   {form}"
    shown = ours.times_as_fast_as(theirs)[0] >= work.wanted
    yield f"  {reached}\n  to be shown: x {work.wanted:.1f}: {'reached' if shown else 'not reached'}"


def row(record: Record, base: Record, work: Work, best: float) -> str:
    """One contestant's figures."""
    ratio, least, most = record.times_as_fast_as(base)
    rate = work.flops / record.median
    return (
        f"  {record.name:<14} {record.median:7.3f} s a step ({min(record.seconds):.3f} to {max(record.seconds):.3f})"
        f"   {work.batch / record.median:7.1f} pictures/s   x {ratio:.2f} ({least:.2f} to {most:.2f})"
        f"   {rate / 1e9:6.1f} GFLOP/s, {rate / best:4.0%} of peak"
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="of the titles of the networks; none: all")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, help="pictures a step, in place of the table's")
    parser.add_argument("--size", type=int, help="side of the pictures, in place of the table's")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    print(heading(), flush=True)
    for work in WORKS:
        if asked.parts and not any(part.lower() in work.title.lower() for part in asked.parts):
            continue
        work = replace(work, batch=asked.batch or work.batch, size=asked.size or work.size)
        for text in measure(work, asked.rounds):
            print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
