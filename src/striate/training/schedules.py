"""Learning rate as a pure function of the number of updates made, s of S, with a warm-up of w.

    warm-up      lr(s) = peak (s + 1) / w                                      s < w
    constant     lr(s) = peak                                                  w <= s
    cosine       lr(s) = peak (1 + cos(pi (s - w) / (S - w))) / 2              w <= s < S
    polynomial   lr(s) = peak (1 - (s - w) / (S - w))^power                    w <= s < S
    step         lr(s) = peak gamma^floor(s / every)                           w <= s
    one-cycle    from peak / 25 along half a cosine to peak at s = w - 1, and along another to peak / 250,000 at S - 1
    plateau      constant; the run multiplies it by `plateau_factor` of its epochs so far

Warm-up: Goyal et al. 2017, arXiv:1706.02677, section 2.2; step: the same, section 5.1.  Cosine: Loshchilov and Hutter
2017, arXiv:1608.03983, eq. 5, one period.  Polynomial: Chen et al. 2018, arXiv:1606.00915, section 4.1.  One-cycle:
Smith and Topin 2018, arXiv:1708.07120, in torch's form (OneCycleLR).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi

Schedule = Callable[[int], float]

START, END = 1 / 25, 1 / 250_000  # of the peak: where one-cycle begins and ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What single schedules need beside peak, warm-up and length.

    Args:
        every: updates from drop to drop of `step`, >= 1.
        gamma: what a drop of `step` multiplies by, in (0, 1].
        power: of `polynomial`, > 0; 1 is a straight line.
    """

    every: int = 1
    gamma: float = 0.1
    power: float = 1.0


PLAIN = Curve()


def warm_up(peak: float, steps: int, after: Schedule) -> Schedule:
    """Rise linearly to `peak` in `steps` updates, then follow `after`."""
    return lambda step: peak * (step + 1) / steps if step < steps else after(step)


def cosine(peak: float, warmup_steps: int, total_steps: int, curve: Curve = PLAIN) -> Schedule:  # noqa: ARG001 - one signature for all
    """Fall from `peak` to nearly 0 along half a cosine.

    >>> rate = cosine(1.0, warmup_steps=2, total_steps=6)
    >>> [round(rate(step), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    length = max(1, total_steps - warmup_steps)
    return warm_up(peak, warmup_steps, lambda step: peak * (1 + cos(pi * (step - warmup_steps) / length)) / 2)


def constant(peak: float, warmup_steps: int, total_steps: int, curve: Curve = PLAIN) -> Schedule:  # noqa: ARG001
    """Stay at `peak` after the warm-up."""
    return warm_up(peak, warmup_steps, lambda _: peak)


def polynomial(peak: float, warmup_steps: int, total_steps: int, curve: Curve = PLAIN) -> Schedule:
    """Fall from `peak` to nearly 0, first fast and then slowly where `power` is above 1."""
    length = max(1, total_steps - warmup_steps)
    return warm_up(peak, warmup_steps, lambda step: peak * (1 - (step - warmup_steps) / length) ** curve.power)


def step(peak: float, warmup_steps: int, total_steps: int, curve: Curve = PLAIN) -> Schedule:  # noqa: ARG001
    """Drop to `gamma` of the rate every so many updates, counted from the run's first."""
    return warm_up(peak, warmup_steps, lambda step: peak * curve.gamma ** (step // curve.every))


def one_cycle(peak: float, warmup_steps: int, total_steps: int, curve: Curve = PLAIN) -> Schedule:  # noqa: ARG001
    """Rise from a small rate, then fall to a very small one; the warm-up is the rise, for which 0.3 of all is usual."""
    top, last = max(0, warmup_steps - 1), max(1, total_steps - 1)

    def rate(step: int) -> float:
        if step < top:
            return _cosine_between(peak * START, peak, step / top)
        return _cosine_between(peak, peak * END, (step - top) / max(1, last - top))

    return rate


def _cosine_between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + cos(pi * share)) / 2


SCHEDULES: dict[str, Callable[[float, int, int, Curve], Schedule]] = {
    "constant": constant,
    "cosine": cosine,
    "step": step,
    "one_cycle": one_cycle,
    "polynomial": polynomial,
    "plateau": constant,
}


def plateau_factor(scores: Sequence[float], patience: int, gamma: float) -> float:
    """What the rate of the next epoch is multiplied by: `gamma` for every plateau so far.

    A plateau is `patience` epochs and one more in a row without a new best; then counting starts anew.  As torch's
    ReduceLROnPlateau with threshold 0.

    Args:
        scores: of every epoch so far, larger is better; NaN is worst.
        patience: epochs without a new best to bear, >= 0.
        gamma: in (0, 1].

    >>> plateau_factor([0.5, 0.7, 0.7, 0.6, 0.8], patience=1, gamma=0.1)
    0.1
    """
    best, since, drops = float("-inf"), 0, 0
    for score in scores:
        best, since = (score, 0) if score > best else (best, since + 1)
        if since > patience:
            drops, since = drops + 1, 0
    return gamma**drops
