"""The learning rate found by a range test: a short training at a rate that grows until the loss does too.

    lr(s) = low (high / low)^(s / (S - 1))        s = 0 .. S - 1
    m(s)  = b m(s - 1) + (1 - b) loss(s),  smoothed loss m(s) / (1 - b^(s + 1))

The loss first stands still (the rate is too small to matter), falls, and at last grows without bound.  Smith 2017,
"Cyclical learning rates for training neural networks", arXiv:1506.01186, section 3.3.  Half the rate at which falling
is over is taken (`choose`).
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, runtime_checkable

from striate.base.errors import NumericError
from striate.training.engine import Batch, TrainState
from striate.training.trials import generators_kept

LOW, HIGH = 1e-5, 10.0
STEPS = 100
BEYOND = 4.0  # times the least smoothed loss: the test has seen enough
SMOOTHING = 0.9  # b
FALLS = 0.98  # the least smoothed loss is at most this share of the first loss
NEAR = 0.05  # of the whole fall of the smoothed loss: so near to the least, falling is over
BELOW = 2.0  # the rate taken is so many times smaller than that at which falling is over


@runtime_checkable
class Fit(Protocol):
    """`striate.training.engine.fit` with everything but these given."""

    def __call__(  # noqa: D102 - said above
        self, state: TrainState, batches: Iterable[Batch], *, lr_at: Callable[[int], float]
    ) -> Iterator[float]: ...


@dataclass(frozen=True, slots=True)
class Point:
    """One step of the test.

    Args:
        lr: its learning rate.
        loss: of its batch, before the update.
        smoothed: loss.
    """

    lr: float
    loss: float
    smoothed: float


@dataclass(frozen=True, slots=True)
class RangeTest:
    """What the test saw.

    Args:
        points: by growing rate.
        lr: the rate to train with.
    """

    points: tuple[Point, ...]
    lr: float


def rates(low: float = LOW, high: float = HIGH, steps: int = STEPS) -> Callable[[int], float]:
    """Learning rate of every step, from `low` to `high` in equal ratios.

    >>> [round(rates(0.01, 1.0, 3)(step), 4) for step in range(3)]
    [0.01, 0.1, 1.0]
    """
    return lambda step: low * (high / low) ** (step / (steps - 1))


def lr_range(state: TrainState, batches: Iterable[Batch], fit: Fit) -> RangeTest:
    """Find a learning rate on a copy of the network and its optimiser; the state is left as it is.

    Args:
        state: before its first update.
        batches: of the training split, at least 20; the first 100 are used.
        fit: makes the updates, one a batch, as training will.

    Raises:
        NumericError: the loss never falls.
    """
    tried = copy.deepcopy(state)
    tried.step = 0
    lr_at, losses = rates(), list[float]()
    device = next(state.model.parameters()).device.type
    with generators_kept(device), suppress(NumericError):  # that is the end of the range: the rate is too large
        for loss in fit(tried, islice(batches, STEPS), lr_at=lr_at):
            losses.append(loss)
            smoothed = _smoothed(losses)
            if smoothed[-1] > BEYOND * min(smoothed):
                break
    points = tuple(map(Point, map(lr_at, range(len(losses))), losses, _smoothed(losses)))
    return RangeTest(points, choose(points))


def _smoothed(losses: list[float]) -> list[float]:
    mean, smoothed = 0.0, []
    for step, loss in enumerate(losses, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed.append(mean / (1 - SMOOTHING**step))
    return smoothed


def choose(points: tuple[Point, ...]) -> float:
    """Half the rate at which the smoothed loss has all but fallen.

    Not the least loss itself, which may lie anywhere on a flat floor, nor the steepest fall, which a network that
    begins with large logits has at once, at any rate.

    Raises:
        NumericError: the loss never falls.
    """
    first = points[0].loss if points else float("nan")
    least = min((point.smoothed for point in points), default=float("nan"))
    if not least < FALLS * first:
        fix = "give lr yourself; where the network is trained already, a hundredth of what it was trained with"
        got = f"{least:.4g} at the least, after {first:.4g}"
        raise NumericError("lr = auto", "the loss", "falling at some rate", got=got, fix=fix)
    floor = least + NEAR * (first - least)
    return next(point.lr for point in points if point.smoothed <= floor) / BELOW
