"""Counter-based random numbers: every draw is a pure function of what it is for.

    words = philox(key = (seed, purpose), counter = (a, b, c, d))

No state is carried from draw to draw, so neither the order of the work, nor the number of workers,
nor a stop and a resume can change a number.  Philox4x32-10: Salmon, Moraes, Dror and Shaw,
"Parallel random numbers: as easy as 1, 2, 3", SC 2011.

The arithmetic is on int64 and is the same for NumPy arrays and torch tensors, on any device.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

MASK = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10

Words = tuple[Any, Any, Any, Any]  # four arrays of 32-bit words, held in int64


class Purpose(IntEnum):
    """What a draw is for; the second word of the key, so that purposes never share numbers."""

    SPLIT = 1
    INITIALISE = 2
    ORDER = 3
    AUGMENT = 4
    DROPOUT = 5
    POOLING = 6
    GENERATE = 7
    CHANCE = 8


def philox(counter: Words, key: tuple[int, int]) -> Words:
    """Philox4x32-10: four random 32-bit words for every counter.

    Args:
        counter: four int64 arrays (NumPy or torch, broadcastable) with values in [0, 2^32).
        key: two integers in [0, 2^32).

    Returns:
        Four arrays of the same kind, uniform on [0, 2^32).
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]  # wrap to 64 bits: the halves survive
        c0, c1, c2, c3 = ((p1 >> 32) & MASK) ^ c1 ^ k0, p1 & MASK, ((p0 >> 32) & MASK) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + WEYL[0]) & MASK, (k1 + WEYL[1]) & MASK
    return c0, c1, c2, c3


def derive(seed: int, purpose: Purpose, *path: int) -> int:
    """A 63-bit seed for a library's own generator, for example torch.Generator.

    Args:
        seed: the run's seed, >= 0.
        purpose: what the numbers are for.
        path: up to four integers that tell one use from another.
    """
    import numpy as np

    words = philox(_counter(np, path), key(seed, purpose))
    return (int(words[0][0]) << 31) ^ int(words[1][0])


def _counter(np: Any, path: tuple[int, ...]) -> Words:
    padded = (*path, 0, 0, 0, 0)[:4]
    c0, c1, c2, c3 = (np.array([value & MASK], dtype=np.int64) for value in padded)
    return c0, c1, c2, c3


def key(seed: int, purpose: Purpose) -> tuple[int, int]:
    """The Philox key of a purpose: the seed's low word, and its high word mixed with the purpose."""
    return seed & MASK, ((seed >> 32) & 0xFFFFFF) << 8 | int(purpose)


def uniform(words: Any) -> Any:
    """Words -> float64 in [0, 1), an exact multiple of 2^-32."""
    exact = words.double() if hasattr(words, "double") else words  # torch would make float32 of them, and 1.0 of some
    return exact * 2.0**-32


@dataclass(frozen=True, slots=True)
class StepRandomness:
    """Which training step is running: what layers that draw, such as dropout, key their numbers by.

    Args:
        seed: the run's seed.
        step: the number of updates made before this one.
        first_row: where this process's rows begin in the global batch.
    """

    seed: int
    step: int
    first_row: int = 0


_current: ContextVar[StepRandomness | None] = ContextVar("striate_step", default=None)


@contextmanager
def step_randomness(step: StepRandomness) -> Iterator[None]:
    """Let layers inside the block draw for this step."""
    token = _current.set(step)
    try:
        yield
    finally:
        _current.reset(token)


def current_step() -> StepRandomness | None:
    """The running training step, or None outside a Striate engine."""
    return _current.get()
