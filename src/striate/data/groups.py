"""Splits that keep groups whole: the pictures of one patient, plant or film never stand on both sides.

Groups are taken one after another, the largest first and equals by chance: each joins the side, or the fold, that
brings the classes nearest to their shares.  With n_gc pictures of class c in group g and n_c in all, the distance is

    one part:  sum_c ((t_c - fraction n_c) / n_c)^2        t_c: taken so far
    folds:     sum_c (f_c / n_c)^2                         f_c: in that fold so far; the least after joining wins

A group is never taken if a class would be left without pictures.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

from striate.base.errors import DataError
from striate.base.random import Purpose, key, philox

Labels = Int64[np.ndarray, " N"]
Counts = Float64[np.ndarray, "G C"]  # of each class in each group
Shares = Float64[np.ndarray, " C"]
Numbers = Int64[np.ndarray, " G"]
Sides = tuple[Int64[np.ndarray, " K"], Int64[np.ndarray, " T"]]


def grouped(labels: Labels, groups: Sequence[str], fraction: float, seed: int, *, draw: int = 0) -> Sides:
    """Take about a fraction of every class, in whole groups.

    Args:
        labels: class numbers.
        groups: the group of each sample.
        fraction: of each class, in [0, 1).
        seed: the run's seed.
        draw: tells a second split of one run from the first.

    Returns:
        (kept, taken): ascending positions, together all of them once.

    Raises:
        DataError: no group can be taken.
    """
    member, counts = _counts(labels, groups)
    order = _order(counts, seed, draw)
    chosen = np.zeros(len(counts), dtype=bool)
    chosen[_nearest(counts, order, fraction) if fraction > 0 else []] = True
    return np.flatnonzero(~chosen[member]), np.flatnonzero(chosen[member])


def _nearest(counts: Counts, order: Numbers, fraction: float) -> list[int]:
    """The groups that together come nearest to the shares; where even one is too many, the one that is least so."""
    total = counts.sum(0)
    target, taken = fraction * total, np.zeros(counts.shape[1])
    chosen = []
    for group in order:
        joined = taken + counts[group]
        if _leaves_all(joined, total) and _distance(joined - target, total) < _distance(taken - target, total):
            chosen.append(int(group))
            taken = joined
    spare = [int(group) for group in order if _leaves_all(counts[group], total)]
    if not spare:
        got = f"{len(counts)} groups of {int(total.sum())} pictures, none of which can be spared"
        fix = "bring a split of your own in the table's split column, or leave the group column out"
        raise DataError("split", "the groups", "small enough to be divided", got=got, fix=fix)
    return chosen or [min(spare, key=lambda group: _distance(counts[group] - target, total))]


def _leaves_all(taken: Shares, total: Shares) -> bool:
    """Whether every class keeps a picture."""
    return bool(((total - taken >= 1) | (total == 0)).all())


def group_folds(labels: Labels, groups: Sequence[str], folds: int, seed: int) -> Int64[np.ndarray, " N"]:
    """The fold of every sample, whole groups in one.

    Raises:
        DataError: fewer groups than folds.
    """
    member, counts = _counts(labels, groups)
    if len(counts) < folds:
        fix = "take fewer folds"
        raise DataError("split", "the number of groups", f"at least {folds}, one a fold", got=len(counts), fix=fix)
    total = counts.sum(0)
    held = np.zeros((folds, counts.shape[1]))
    fold_of = np.zeros(len(counts), dtype=np.int64)
    for group in _order(counts, seed, 0):
        growth = [_distance(row + counts[group], total) - _distance(row, total) for row in held]
        best = min(range(folds), key=lambda fold: (growth[fold], held[fold].sum()))
        fold_of[group] = best
        held[best] += counts[group]
    return fold_of[member]


def _counts(labels: Labels, groups: Sequence[str]) -> tuple[Int64[np.ndarray, " N"], Counts]:
    """The group's number of every sample, and how many pictures of each class every group holds."""
    names, member = np.unique(np.array(groups, dtype=object).astype(str), return_inverse=True)
    counts = np.zeros((len(names), int(labels.max(initial=0)) + 1))
    np.add.at(counts, (member, labels), 1)
    return member.astype(np.int64), counts


def _order(counts: Counts, seed: int, draw: int) -> Numbers:
    group = np.arange(len(counts), dtype=np.int64)
    zero = np.zeros_like(group)
    words = philox((group, zero + draw, zero + 1, zero), key(seed, Purpose.SPLIT))
    return np.lexsort((words[1], words[0], -counts.sum(1)))


def _distance(difference: Shares, total: Shares) -> float:
    return float(((difference / np.maximum(total, 1)) ** 2).sum())
