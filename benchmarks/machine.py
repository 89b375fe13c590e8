"""What a reader needs to judge figures: when, how, on what, with what, and how fast that can multiply."""

import datetime
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path

import torch

from contestants import Contestant, Entry

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


def peaks() -> list[Entry]:
    """A large matrix product in float32 and one in bfloat16, as contestants whose turns come to FLOP/s."""
    return [
        Entry(f"matrix product, {name}", partial(product, getattr(torch, name))) for name in ("float32", "bfloat16")
    ]


def product(dtype: torch.dtype) -> Contestant:
    """Square matrices as large as this type allows in `LONG` seconds; the best of three products."""
    size = SMALLEST
    multiply = _multiplier(size, dtype)
    while size < LARGEST and 8 * 1.5 * _seconds(multiply) < LONG:  # twice the rows are eight times the work
        size *= 2
        multiply = _multiplier(size, dtype)
    return Contestant(lambda: 2 * size**3 / min(_seconds(multiply) for _ in range(3)))


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
