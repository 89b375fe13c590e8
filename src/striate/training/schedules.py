"""Learning rate as a pure function of the number of updates made.

    warm-up   lr(s) = peak (s + 1) / w                                  s < w
    cosine    lr(s) = peak (1 + cos(pi (s - w) / (S - w))) / 2          w <= s < S
    constant  lr(s) = peak                                              w <= s

Cosine: Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5, one period.  Warm-up: Goyal et al. 2017,
arXiv:1706.02677, section 2.2.
"""

from collections.abc import Callable
from math import cos, pi

Schedule = Callable[[int], float]


def warm_up(peak: float, steps: int, after: Schedule) -> Schedule:
    """Rise linearly to `peak` in `steps` updates, then follow `after`."""
    return lambda step: peak * (step + 1) / steps if step < steps else after(step)


def cosine(peak: float, warmup_steps: int, total_steps: int) -> Schedule:
    """Fall from `peak` to nearly 0 along half a cosine.

    >>> rate = cosine(1.0, warmup_steps=2, total_steps=6)
    >>> [round(rate(step), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    length = max(1, total_steps - warmup_steps)
    return warm_up(peak, warmup_steps, lambda step: peak * (1 + cos(pi * (step - warmup_steps) / length)) / 2)


def constant(peak: float, warmup_steps: int, total_steps: int) -> Schedule:  # noqa: ARG001 - one signature for all
    """Stay at `peak` after the warm-up."""
    return warm_up(peak, warmup_steps, lambda _: peak)


SCHEDULES: dict[str, Callable[[float, int, int], Schedule]] = {"cosine": cosine, "constant": constant}
