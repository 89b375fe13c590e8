"""Seeded, stratified splits: every class in its share, and the same pictures whatever order a disk lists them in.

In each class the samples are ranked by word_0, word_1 of philox(key = (seed, SPLIT), counter = (sample, draw, 0, 0));
the first max(1, min(n - 1, round(fraction n))) of its n are taken, a class of one sample stays whole.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64

from striate.base.errors import ConfigError
from striate.base.random import Purpose, key, philox
from striate.data.samples import Samples


def stratified(
    labels: Int64[np.ndarray, " N"], fraction: float, seed: int, *, draw: int = 0
) -> tuple[Int64[np.ndarray, " K"], Int64[np.ndarray, " T"]]:
    """Take a fraction of every class.

    Args:
        labels: class numbers, in the order of the sorted sample names.
        fraction: of each class, in [0, 1); 0 takes nothing.
        seed: the run's seed.
        draw: tells a second split of one run from the first.

    Returns:
        (kept, taken): ascending positions, together all of them once.

    Raises:
        ConfigError: the fraction is out of range.
    """
    if not 0 <= fraction < 1:
        raise ConfigError("split", "fraction", "in [0, 1)", got=fraction, fix="0.1 takes a tenth; 0 takes nothing")
    sample = np.arange(len(labels), dtype=np.int64)
    zero = np.zeros_like(sample)
    words = philox((sample, zero + draw, zero, zero), key(seed, Purpose.SPLIT))
    ranked = np.lexsort((words[1], words[0], labels))  # by class, then by chance
    _, first, counts = np.unique(labels[ranked], return_index=True, return_counts=True)
    wanted = np.floor(fraction * counts + 0.5).astype(np.int64)
    take = np.minimum(np.maximum(wanted, 1), counts - 1) if fraction > 0 else np.zeros_like(counts)
    place = sample - np.repeat(first, counts)  # rank of each within its class
    taken = np.sort(ranked[place < np.repeat(take, counts)])
    return np.setdiff1d(sample, taken, assume_unique=True), taken


def divide(
    parts: Mapping[str, Samples], *, seed: int, validation_fraction: float, test_fraction: float
) -> tuple[Samples, Samples, Samples, tuple[str, ...]]:
    """Training, validation and test from what the data brings, and notes on what was taken from where.

    A part that the data brings is left as it is.  What it lacks comes out of training: the test split first, then
    validation as a fraction of the rest.

    Raises:
        ConfigError: a fraction that is needed is out of range.
    """
    train = parts["all"] if "all" in parts else parts["train"]
    test, validation = parts.get("test"), parts.get("validation")
    notes = []
    if test is None:
        if validation is not None:
            notes.append(f"no test split given: {test_fraction:g} of training is kept apart as test")
        kept, taken = stratified(train.labels, test_fraction, seed, draw=0)
        train, test = train.pick(kept), train.pick(taken)
    if validation is None:
        kept, taken = stratified(train.labels, validation_fraction, seed, draw=1)
        train, validation = train.pick(kept), train.pick(taken)
    return train, validation, test, tuple(notes)
