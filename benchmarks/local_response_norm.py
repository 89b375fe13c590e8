"""Local response normalisation, forward and backward: the native kernel beside torch's layer and our blocks in torch.

    python benchmarks/local_response_norm.py [--rounds 7] [--batch 64] [--threads 2] [--malloc kept|usual]

The contestants take turns in one process on the same input, at the sizes of AlexNet's two layers.  Torch's has no
bfloat16 on a CPU: there the base is our blocks.  Printed are the median milliseconds of the rounds, and how many times
the base's speed that is: the median of the rounds' ratios, least to most.  "kept": the C library keeps its memory, as
in training with Striate; with "usual" every large tensor is faulted in page by page, which may take most of the time.
"""

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter
from unittest.mock import patch

import torch
from torch import Tensor, nn

from striate.base.allocator import keep_memory
from striate.layers.local_response_norm import LocalResponseNorm
from striate.native import local_response_norm as native
from striate.native.library import absence, library

SHAPES = [(96, 55, 55), (256, 27, 27)]
LAYOUTS = {"channels last": torch.channels_last, "NCHW": torch.contiguous_format}
OPTIONS = (5, 5e-4, 0.75, 2.0)
Pass = Callable[[], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--malloc", choices=("kept", "usual"), default="kept")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    kept = asked.malloc == "kept" and keep_memory()
    print(f"torch {torch.__version__}, {asked.threads} threads, memory {'kept' if kept else 'as usual'}, ", end="")
    print(f"native library: {library() or absence()}; medians of {asked.rounds} rounds")
    for shape in SHAPES:
        for dtype in (torch.float32, torch.bfloat16):
            for name, layout in LAYOUTS.items():
                x, dy = (torch.randn(asked.batch, *shape).to(dtype).contiguous(memory_format=layout) for _ in "xy")
                print(f"\n{tuple(x.shape)}, {str(dtype)[6:]}, {name}")
                compete(contestants(x.requires_grad_(), dy), asked.rounds)


def contestants(x: Tensor, dy: Tensor) -> dict[str, Pass]:
    """Seconds of a pass of each, the base first."""
    passes = {
        "torch": timed(nn.LocalResponseNorm(*OPTIONS), x, dy),
        "blocks": without_library(timed(LocalResponseNorm(*OPTIONS), x, dy)),
        "native": timed(LocalResponseNorm(*OPTIONS), x, dy),
    }
    if x.dtype == torch.bfloat16:
        del passes["torch"]
    if library() is None:
        del passes["native"]
    return passes


def timed(layer: nn.Module, x: Tensor, dy: Tensor) -> Pass:
    def one() -> float:
        start = perf_counter()
        torch.autograd.grad(layer(x), x, dy)
        return perf_counter() - start

    return one


def without_library(one: Pass) -> Pass:
    def other() -> float:
        with patch.object(native, "takes", return_value=False):
            return one()

    return other


def compete(passes: dict[str, Pass], rounds: int) -> None:
    """Run all and print their rows; the first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    for _ in range(rounds + 1):
        for name, one in passes.items():
            seconds[name].append(one())
    base = next(iter(seconds.values()))[1:]
    for name, times in seconds.items():
        ratios = sorted(b / own for b, own in zip(base, times[1:], strict=True))
        middle = f"x {median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})"
        print(f"  {name:<7} {1000 * median(times[1:]):>9.2f} ms   {middle}", flush=True)


if __name__ == "__main__":
    main()
