"""What a reader needs to judge figures: when, how, on what, with what, and how fast that can multiply."""

import datetime
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import torch

from contestants import Contestant, Entry, Record

LARGEST, SMALLEST = 4096, 128  # rows of the matrices
LONG = 0.5  # seconds a product may take


def heading(libraries: Sequence[str] = ("torch", "numpy")) -> str:
    """Date, command, processor, load, versions."""
    there = [f"{name} {version}" for name in libraries if (version := _version(name))]
    today = datetime.datetime.now(datetime.UTC)
    command = shlex.join(["python", *sys.argv])
    return (
        f"{today:%Y-%m-%d %H:%M} UTC   {command}\n"
        f"{_processor()}, {os.cpu_count()} cores, torch on {torch.get_num_threads()}, "
        f"load before the start: {os.getloadavg()[0]:.1f}\n"
        f"bfloat16 in the processor: {'yes' if torch.cpu._is_avx512_bf16_supported() else 'no'}\n"
        f"Python {platform.python_version()}, {', '.join(there)}"
    )


def peak() -> Entry:
    """A large matrix product in float32 and one in bfloat16, as a contestant whose turns come to FLOP/s of each."""
    return Entry("matrix products", products)


def products() -> Contestant:
    """In a child: both, the best of three of each a turn."""
    both = {name: product(getattr(torch, name)) for name in ("float32", "bfloat16")}
    return Contestant(lambda: {name: rate() for name, rate in both.items()})


def product(dtype: torch.dtype) -> Callable[[], float]:
    """FLOP/s of square matrices as large as this type allows in `LONG` seconds."""
    size = SMALLEST
    multiply = _multiplier(size, dtype)
    while size < LARGEST and 8 * 1.5 * _seconds(multiply) < LONG:  # twice the rows are eight times the work
        size *= 2
        multiply = _multiplier(size, dtype)
    return lambda: 2 * size**3 / min(_seconds(multiply) for _ in range(3))


@dataclass(frozen=True, slots=True)
class Peak:
    """The best of all turns, in FLOP/s."""

    float32: float
    bfloat16: float

    @staticmethod
    def of(record: Record) -> "Peak":
        """From the turns of `peak`."""
        return Peak(**{name: max(value[name] for value in record.values) for name in ("float32", "bfloat16")})

    @property
    def best(self) -> float:
        """What steps are measured by: the faster of the two."""
        return max(self.float32, self.bfloat16)

    def __str__(self) -> str:
        return f"matrix product: float32 {self.float32 / 1e9:,.1f} GFLOP/s, bfloat16 {self.bfloat16 / 1e9:,.1f} GFLOP/s"


def _multiplier(size: int, dtype: torch.dtype) -> Callable[[], object]:
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(size, size, generator=generator).to(dtype) for _ in range(2))
    room = torch.empty(size, size, dtype=dtype)
    multiply = partial(torch.mm, left, right, out=room)
    multiply()
    return multiply


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """The model's name, which Python's platform module does not know on Linux."""
    described = Path("/proc/cpuinfo")
    rows = described.read_text().splitlines() if described.exists() else []
    return next((row.split(": ")[1] for row in rows if row.startswith("model name")), platform.machine())
