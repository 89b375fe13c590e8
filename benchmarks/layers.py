"""Every layer that torch has too, side by side with torch's.

    python benchmarks/layers.py [part of a name] …

Both run in one process, turn about, on the same input, so that what slows the machine slows both.  Median milliseconds
of `RUNS`; ratio = torch / ours, so above 1 is faster than torch; "best" is the ratio of the fastest runs, which tells
a tie from noise (whether freed memory went back to the system in between is worth several milliseconds a run).
Losses are shown like wins.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn

from striate.base.random import StepRandomness, step_randomness
from striate.layers.conv import Conv1d, Conv2d, Conv3d
from striate.layers.dropout import Dropout
from striate.layers.local_response_norm import LocalResponseNorm

RUNS = 15
LAYOUTS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: our class and torch's, both built with `args`, on an input; `step`: inside a training step."""

    name: str
    ours: Callable[..., nn.Module]
    torchs: Callable[..., nn.Module]
    args: tuple[object, ...]
    shape: tuple[int, ...]
    step: bool = False


ROWS = [
    Row("LocalResponseNorm", LocalResponseNorm, nn.LocalResponseNorm, (5, 5e-4, 0.75, 2.0), (64, 96, 55, 55)),
    Row("LocalResponseNorm, conv2", LocalResponseNorm, nn.LocalResponseNorm, (5, 5e-4, 0.75, 2.0), (16, 256, 27, 27)),
    Row("LocalResponseNorm, small", LocalResponseNorm, nn.LocalResponseNorm, (5, 5e-4, 0.75, 2.0), (8, 16, 14, 14)),
    Row("Conv1d", Conv1d, nn.Conv1d, (32, 64, 5, 1, 2), (64, 32, 256)),
    Row("Conv2d, 5x5 on one channel", Conv2d, nn.Conv2d, (1, 6, 5), (64, 1, 32, 32)),
    Row("Conv2d, 3x3 pad 1", Conv2d, nn.Conv2d, (64, 64, 3, 1, 1), (16, 64, 28, 28)),
    Row("Conv2d, same", Conv2d, nn.Conv2d, (64, 64, 3, 1, "same"), (16, 64, 28, 28)),
    Row("Conv2d, grouped, stride 2", Conv2d, nn.Conv2d, (64, 64, 3, 2, 1, 1, 8), (16, 64, 28, 28)),
    Row("Conv2d, dilation 2, same", Conv2d, nn.Conv2d, (32, 32, 3, 1, "same", 2), (16, 32, 28, 28)),
    Row("Conv2d, even kernel, same", Conv2d, nn.Conv2d, (32, 32, 4, 1, "same"), (16, 32, 28, 28)),
    Row("Conv3d", Conv3d, nn.Conv3d, (8, 16, 3, 1, 1), (4, 8, 12, 24, 24)),
    Row("Dropout", Dropout, nn.Dropout, (0.5,), (64, 4096)),
    Row("Dropout in a step", Dropout, nn.Dropout, (0.5,), (64, 4096), step=True),
    Row("Dropout in a step, small", Dropout, nn.Dropout, (0.5,), (16, 120), step=True),
]


def main(wanted: list[str]) -> None:
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {RUNS}, ms; ratio torch/ours")
    print(f"{'layer':<26} {'shape':<18} {'layout':<6} {'dtype':<8} {'pass':<8}", end=" ")
    print(f"{'torch':>9} {'ours':>9} {'ratio':>6} {'best':>6}")
    for row in ROWS:
        if not wanted or any(part.lower() in row.name.lower() for part in wanted):
            for line in compare(row):
                print(line, flush=True)


def compare(row: Row) -> Iterator[str]:
    """The lines of one row: layouts by precisions by passes."""
    for layout, memory_format in LAYOUTS.items():
        if layout == "NHWC" and len(row.shape) != 4:
            continue
        for dtype in (torch.float32, torch.bfloat16):
            x, dy = (torch.randn(row.shape, dtype=dtype) for _ in range(2))
            if len(row.shape) == 4:
                x, dy = (t.to(memory_format=memory_format) for t in (x, dy))
            pair = tuple(kind(*row.args).to(dtype) for kind in (row.torchs, row.ours))
            for name, work in (("forward", forward), ("fwd+bwd", both)):
                torchs, ours = measure([partial(work, layer, x, dy) for layer in pair], step=row.step)
                head = f"{row.name:<26} {'x'.join(map(str, row.shape)):<18} {layout:<6} {str(dtype)[6:]:<8}"
                middle = [f"{1000 * median(times):.3f}" if times else "none" for times in (torchs, ours)]
                ratios = [f"{of(torchs) / of(ours):.2f}" if torchs and ours else "n/a" for of in (median, min)]
                yield f"{head} {name:<8} {middle[0]:>9} {middle[1]:>9} {ratios[0]:>6} {ratios[1]:>6}"


def forward(layer: nn.Module, x: Tensor, _: Tensor) -> None:
    with torch.no_grad():
        layer(x)


def both(layer: nn.Module, x: Tensor, dy: Tensor) -> None:
    y = layer(x.detach().requires_grad_())
    y.backward(dy if dy.shape == y.shape else torch.ones_like(y))


def measure(works: list[Callable[[], None]], *, step: bool) -> list[list[float]]:
    """Seconds of each run of each piece of work, turn about; none where torch has no kernel for it."""
    seconds: list[list[float]] = [[] for _ in works]
    for run in range(RUNS + 1):
        pairs = list(zip(works, seconds, strict=True))
        for work, record in pairs if run % 2 else pairs[::-1]:  # who comes second finds memory that is warm
            with step_randomness(StepRandomness(seed=0, step=run)) if step else nullcontext():
                start = perf_counter()
                try:
                    work()
                except (NotImplementedError, RuntimeError):
                    continue
                record.append(perf_counter() - start)
    return [record[1:] for record in seconds]  # the first run warms up


if __name__ == "__main__":
    main(sys.argv[1:])
