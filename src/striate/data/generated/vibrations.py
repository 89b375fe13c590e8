"""`vibrations`: 900 signals of 256 samples, as from a sensor on a machine that turns.

    healthy     the turning, faint, and noise
    unbalance   the turning, strong
    misaligned  as much of twice its frequency
    bearing     healthy, and a ringing blow three to five times a turn

A second holds 2,000 samples; the machine turns 12 to 30 times a second at a phase by chance, so that neither the first
sample nor any other tells the class.
"""

import numpy as np
from jaxtyping import Float64

from striate.data.generated.draws import Chance
from striate.data.record_set import Records, all_rows

CLASSES = ("bearing", "healthy", "misaligned", "unbalance")
COUNT, LENGTH, RATE = 900, 256, 2000.0
RINGING, DECAY = 420.0, 90.0  # Hz of the blow, and how fast it dies, per second


def vibrations() -> Records:
    """(900, 1, 256) float32 in four classes."""
    chance = Chance(3, COUNT)
    kind = np.arange(COUNT) % len(CLASSES)
    t = np.arange(LENGTH) / RATE  # seconds
    speed, phase = chance.uniform(12, 30), chance.uniform(0, 1)
    turns = speed * t + phase  # N W
    strong, faint = chance.uniform(0.7, 1.4), chance.uniform(0.1, 0.4)
    once = np.where((kind == 3)[:, None], strong, faint) * np.sin(2 * np.pi * turns)
    twice = np.where((kind == 2)[:, None], strong, 0.3 * faint) * np.sin(4 * np.pi * turns + 1)
    ratio = chance.uniform(3, 5)  # blows a turn
    blows = _blows(turns * ratio, speed * ratio) * chance.uniform(0.6, 1.2)
    signal = once + twice + np.where((kind == 0)[:, None], blows, 0) + chance.normal(0.25, LENGTH)
    return Records(
        name="vibrations",
        location="vibrations",
        kind="classes",
        inputs=signal[:, None].astype(np.float32),
        targets=kind.astype(np.int64),
        classes=CLASSES,
        parts=all_rows(COUNT),
    )


def _blows(count: Float64[np.ndarray, "N W"], rate: Float64[np.ndarray, "N 1"]) -> Float64[np.ndarray, "N W"]:
    """A ringing that begins anew at every whole number of `count`, which grows by `rate` a second."""
    since = (count - np.floor(count)) / rate  # seconds
    return np.exp(-DECAY * since) * np.sin(2 * np.pi * RINGING * since)
