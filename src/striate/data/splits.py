"""Seeded, stratified splits: every class in its share, and the same pictures whatever order a disk lists them in.

In each class the samples are ranked by word_0, word_1 of philox(key = (seed, SPLIT), counter = (sample, draw, 0, 0));
the first max(1, min(n - 1, round(fraction n))) of its n are taken, a class of one sample stays whole.  Of k folds,
the sample of rank r is in fold (r + the number of samples in the classes before) mod k.

Where the data name groups, these stay whole: see `groups`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from striate.base.errors import ConfigError
from striate.base.random import Purpose, key, philox
from striate.data.groups import group_folds, grouped
from striate.data.samples import Samples

Rows = Int64[np.ndarray, " K"]
DRAW_OF_TEST, DRAW_OF_VALIDATION = 0, 1


@dataclass(frozen=True, slots=True)
class Shares:
    """How data that bring no split are divided.

    Args:
        validation: share of training that is left after the test split.
        test: share of the whole.
        folds: 0, or in how many folds training is cut; one of them is validation, instead of a share.
        fold: which, from 0.
    """

    validation: float
    test: float
    folds: int = 0
    fold: int = 0

    def __post_init__(self) -> None:
        if self.folds and (self.folds < 2 or not 0 <= self.fold < self.folds):
            fix = "folds=5 with fold=0, 1, 2, 3 and 4 in five runs"
            got = f"fold {self.fold} of {self.folds}"
            raise ConfigError("split", "fold", "0 to folds - 1, of at least 2 folds", got=got, fix=fix)


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
    ranked = _ranked(labels, seed, draw)
    _, first, counts = np.unique(labels[ranked], return_index=True, return_counts=True)
    wanted = np.floor(fraction * counts + 0.5).astype(np.int64)
    take = np.minimum(np.maximum(wanted, 1), counts - 1) if fraction > 0 else np.zeros_like(counts)
    place = np.arange(len(labels)) - np.repeat(first, counts)  # rank of each within its class
    taken = np.sort(ranked[place < np.repeat(take, counts)])
    return np.setdiff1d(np.arange(len(labels)), taken, assume_unique=True), taken


def stratified_folds(labels: Int64[np.ndarray, " N"], folds: int, seed: int) -> Int64[np.ndarray, " N"]:
    """The fold of every sample, each fold with its share of every class.

    >>> sorted(stratified_folds(np.array([0, 0, 0, 1, 1, 1]), 3, seed=0)[:3].tolist())
    [0, 1, 2]
    """
    fold = np.empty(len(labels), dtype=np.int64)
    fold[_ranked(labels, seed, DRAW_OF_VALIDATION)] = np.arange(len(labels)) % folds
    return fold


def _ranked(labels: Int64[np.ndarray, " N"], seed: int, draw: int) -> Int64[np.ndarray, " N"]:
    """Positions by class, within a class by chance."""
    sample = np.arange(len(labels), dtype=np.int64)
    zero = np.zeros_like(sample)
    words = philox((sample, zero + draw, zero, zero), key(seed, Purpose.SPLIT))
    return np.lexsort((words[1], words[0], labels))


def divide(
    parts: Mapping[str, Samples], shares: Shares, seed: int
) -> tuple[Samples, Samples, Samples, tuple[str, ...]]:
    """Training, validation and test from what the data brings, and notes on what was taken from where.

    A part that the data brings is left as it is.  What it lacks comes out of training: the test split first, then
    validation as a fraction of the rest, or one of the folds of the rest.

    Raises:
        ConfigError: a fraction that is needed is out of range, or folds of data that bring a validation split.
        DataError: groups that cannot be divided.
    """
    train = parts["all"] if "all" in parts else parts["train"]
    test, validation = parts.get("test"), parts.get("validation")
    if shares.folds and validation is not None:
        fix = "leave split.folds out, or bring training and validation as one part"
        raise ConfigError("split", "folds", "left out for data with a validation split", got=shares.folds, fix=fix)
    notes = []
    if test is None:
        if validation is not None:
            notes.append(f"no test split given: {shares.test:g} of training is kept apart as test")
        train, test = _apart(train, _taken(train, shares.test, seed, DRAW_OF_TEST))
    if validation is None:
        train, validation = _apart(train, _validation(train, shares, seed))
    return train, validation, test, (*notes, *_told_of_groups(train, validation, test))


def _validation(train: Samples, shares: Shares, seed: int) -> Rows:
    if not shares.folds:
        return _taken(train, shares.validation, seed, DRAW_OF_VALIDATION)
    if train.groups is not None:
        return np.flatnonzero(group_folds(train.labels, train.groups, shares.folds, seed) == shares.fold)
    return np.flatnonzero(stratified_folds(train.labels, shares.folds, seed) == shares.fold)


def _taken(samples: Samples, fraction: float, seed: int, draw: int) -> Rows:
    if samples.groups is not None:
        return grouped(samples.labels, samples.groups, fraction, seed, draw=draw)[1]
    return stratified(samples.labels, fraction, seed, draw=draw)[1]


def _apart(samples: Samples, taken: Rows) -> tuple[Samples, Samples]:
    kept = np.setdiff1d(np.arange(len(samples)), taken, assume_unique=True)
    return samples.pick(kept), samples.pick(taken)


def _told_of_groups(*parts: Samples) -> list[str]:
    """What a person should know of groups that the data's own split has torn apart."""
    known = [set(part.groups or ()) for part in parts]
    torn = sorted((known[0] & known[1]) | (known[0] & known[2]) | (known[1] & known[2]))
    return [f"{len(torn)} groups stand in more than one part of the given split, first {torn[0]!r}"] if torn else []
