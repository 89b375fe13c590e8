"""What the engine adds to a training step over the bare loop of five lines, in per cent; to be below 2 at 5 ms a step.

    python benchmarks/engine_overhead.py [--steps 2000] [--batch-size 64]

LeNet-5 is trained twice from the same weights on the same batch, by `fit` and by

    for x, y in batches:
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()

one step of each in turn, and who begins changes every time, so that a noisy machine is noisy for both.  The engine
does more: it sets the rate, keys the randomness, reads the loss, and looks whether loss and gradient are finite.
Printed are the medians of the step in ms of the clock and in ms of the processor, which other programs disturb less,
and what the engine's has more.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from striate.models.catalogue import build
from striate.training.engine import Batch, Objective, TrainState, fit
from striate.training.optimisers import Settings, sgd
from striate.training.plan import Asked, machine

SETTINGS = Settings(lr=0.01, momentum=0.9)
WARM = 50  # steps of each that are not counted


def batches(size: int) -> Iterator[Batch]:
    """One batch of noise, for ever."""
    draw = torch.Generator().manual_seed(0)
    batch = torch.randn(size, 1, 32, 32, generator=draw), torch.arange(size) % 10
    while True:
        yield batch


def network() -> torch.nn.Module:
    """LeNet-5, each time from the same weights."""
    torch.manual_seed(0)
    return build("lenet5").to(memory_format=torch.channels_last)


def engine(size: int) -> Iterator[float]:
    """A step by `fit` at each `next`."""
    model = network()
    state = TrainState(model=model, optimizer=sgd(model, SETTINGS), seed=0)
    return fit(state, batches(size), objective=Objective(F.cross_entropy), lr_at=lambda _: SETTINGS.lr)


def bare(size: int) -> Iterator[Tensor]:
    """A step by the five lines at each `next`."""
    model = network()
    optimizer = sgd(model, SETTINGS)
    for x, y in batches(size):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        yield loss


def measure(steps: int, size: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds of clock and processor of every step of both, in turn."""
    loops = {"engine": engine(size), "bare loop": bare(size)}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
    for number in range(WARM + steps):
        for name in sorted(loops, reverse=bool(number % 2)):
            clock, processor = time.perf_counter(), time.process_time()
            next(loops[name])
            if number >= WARM:
                found[name].append((time.perf_counter() - clock, time.process_time() - processor))
    return found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=64)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    asked = arguments()
    machine(Asked(device="cpu"))
    print(f"LeNet-5, batch size {asked.batch_size}, {asked.steps} steps of each, torch on {torch.get_num_threads()}")
    print(f"threads, load before the start: {os.getloadavg()[0]:.1f}", flush=True)
    found = measure(asked.steps, asked.batch_size)
    for place, kind in enumerate(("clock", "processor")):
        ours, theirs = (statistics.median(step[place] for step in found[name]) for name in ("engine", "bare loop"))
        print(
            f"  {kind:<10} engine {ours * 1e3:7.3f} ms   bare loop {theirs * 1e3:7.3f} ms"
            f"   overhead {(ours / theirs - 1) * 100:+.2f} %   ({(ours - theirs) * 1e6:.0f} us)"
        )


if __name__ == "__main__":
    main()
