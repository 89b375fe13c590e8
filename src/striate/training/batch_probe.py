"""The batch size found by trying: doubled until steps get no faster a sample, or memory or the data forbid it.

Larger batches use the machine better up to a point, and beyond it they only make fewer updates of the same epochs.  So
the smallest batch is taken whose speed is within a tenth of the best.  Twelve updates an epoch are the fewest.

Running out of memory is found out in two ways.  Linux gives memory that it does not have and then ends the process, so
the growth of each size foretells what the next one takes.  Where an error comes all the same, or first, it is survived.
"""

import copy
import gc
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import torch

from striate.base.errors import ResourceError
from striate.base.memory import free_memory, held_memory, is_out_of_memory, peak_memory
from striate.training.engine import Batch, TrainState
from striate.training.forms import Form
from striate.training.lr_range import Fit
from striate.training.outcomes import key_of, recall, remember

FIRST = 16  # samples; smaller ones are tried where these do not fit
UPDATES = 12  # of an epoch, at least
WITHIN = 0.9  # of the best speed
GAIN = 1.1  # in speed, by the last two sizes, that lets another be tried
SECONDS, LEAST = 0.5, 3  # of steps at each size, after one to warm up
SPARE = 1.25  # times the memory that is foretold


@dataclass(frozen=True, slots=True)
class Tried:
    """One size.

    Args:
        batch_size: samples an update.
        samples_per_second: at its fastest step.
        grew: bytes by which it raised the most that the process has held.
    """

    batch_size: int
    samples_per_second: float
    grew: int


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found.

    Args:
        batch_size: to train with.
        tried: sizes that ran, by growing size.
        ended: why no larger one was tried, for people.
    """

    batch_size: int
    tried: tuple[Tried, ...]
    ended: str

    @property
    def takes(self) -> int:
        """Bytes beyond what the process had held before."""
        return sum(one.grew for one in self.tried if one.batch_size <= self.batch_size)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @staticmethod
    def from_dict(told: dict[str, Any]) -> "Probe":
        """The same from plain values; KeyError, TypeError or ValueError from others."""
        tried = tuple(Tried(**one) for one in told["tried"])
        if told["batch_size"] not in [one.batch_size for one in tried]:
            raise ValueError(told["batch_size"])
        return Probe(told["batch_size"], tried, str(told["ended"]))

    def __str__(self) -> str:
        speeds = ", ".join(f"{one.batch_size}: {one.samples_per_second:.0f}" for one in self.tried)
        return f"batch_size {self.batch_size} (samples a second at {speeds}; {self.ended})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """What the sizes are tried with.

    Args:
        state: before its first update; copies of it are trained.
        batch_of: a batch of so many training samples.
        fit: makes the updates, as training will.
        form: in which it computes.
        samples: of the training split.
    """

    state: TrainState
    batch_of: Callable[[int], Batch]
    fit: Fit
    form: Form
    samples: int

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.state.model.parameters()).device

    def speed(self, size: int) -> float:
        """Samples a second in updates of so many at a rate of 0."""
        batch, best = self.batch_of(size), float("inf")
        steps = self.fit(copy.deepcopy(self.state), repeat(batch), lr_at=lambda _: 0.0)
        next(steps)
        began = last = time.perf_counter()
        for done, _ in enumerate(steps, start=1):
            now = time.perf_counter()
            best, last = min(best, now - last), now
            if done >= LEAST and now - began > SECONDS:
                break
        return size / best


def probe_batch_size(trainer: Trainer, *, remembered: Path) -> Probe:
    """Find a batch size; the network, the optimiser and the caller's randomness are left as they are.

    Args:
        trainer: what trains.
        remembered: a folder of outcomes; an equal run takes the same size as long as it fits.

    Raises:
        ResourceError: not even one sample fits.
    """
    key = _key(trainer)
    known = _recalled(remembered, key)
    if known is not None and sum(one.grew for one in known.tried if one.batch_size <= known.batch_size) < _free(
        trainer
    ):
        return known
    found = _probe(trainer)
    remember(remembered, key, found.as_dict())
    return found


def _key(trainer: Trainer) -> str:
    x, y = trainer.batch_of(1)
    optimizer = type(trainer.state.optimizer).__name__
    return key_of(trainer.state.model, list(x.shape), list(y.shape), optimizer, str(trainer.form), trainer.samples)


def _recalled(folder: Path, key: str) -> Probe | None:
    try:
        return Probe.from_dict(recall(folder, key))
    except (KeyError, TypeError, ValueError):
        return None


def _probe(trainer: Trainer) -> Probe:
    size, largest, tried = FIRST, max(FIRST, trainer.samples // UPDATES), list[Tried]()
    while True:
        result = _attempt(trainer, size)
        if isinstance(result, Tried):
            tried.append(result)
            ended = _end(trainer, tried, largest)
            if ended:
                return Probe(_best(tried), tuple(tried), ended)
            size *= 2
        elif tried:
            return Probe(_best(tried), tuple(tried), f"{size} {result}")
        elif size == 1:
            fix = "take a smaller network or smaller pictures, or a machine with more memory"
            raise ResourceError("batch_size", "one sample", "what fits into memory", got=f"one that {result}", fix=fix)
        else:
            size //= 2


def _attempt(trainer: Trainer, size: int) -> Tried | str:
    """How a size does, or that it ran out of memory."""
    before, speed = _peak(trainer), 0.0
    try:
        speed = trainer.speed(size)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    if speed:
        return Tried(size, speed, _peak(trainer) - before)
    gc.collect()  # out here the error and the tensors in its frames are gone
    if trainer.device.type == "cuda":
        torch.cuda.empty_cache()
    return "runs out of memory"


def _end(trainer: Trainer, tried: list[Tried], largest: int) -> str:
    """Why the next size is not to be tried; "" if it is."""
    last = tried[-1]
    if last.batch_size < FIRST:
        return f"{last.batch_size * 2} runs out of memory"
    if last.batch_size * 2 > largest:
        return f"larger ones make fewer than {UPDATES} updates an epoch"
    speeds = [one.samples_per_second for one in tried]
    if len(tried) > 2 and max(speeds[-2:]) < GAIN * max(speeds[:-2]):
        return "larger ones are no faster"
    if SPARE * 2 * last.grew > _free(trainer):
        return f"{last.batch_size * 2} would take more memory than there is"
    return ""


def _best(tried: list[Tried]) -> int:
    enough = WITHIN * max(one.samples_per_second for one in tried)
    return next(one.batch_size for one in tried if one.samples_per_second >= enough)


def _peak(trainer: Trainer) -> int:
    return torch.cuda.max_memory_allocated() if trainer.device.type == "cuda" else peak_memory()


def _free(trainer: Trainer) -> float:
    """Bytes that may be taken beyond the most that was held so far."""
    if trainer.device.type == "cuda":
        held = torch.cuda.max_memory_allocated() - torch.cuda.memory_reserved()
        return float(torch.cuda.mem_get_info()[0] - held)
    free = free_memory()
    return float("inf") if free is None else float(free - (peak_memory() - held_memory()))
