"""The order in which a sharded set is read: shard after shard for the disk, mixed within a window for the training.

The shards are put in a random order and laid end to end; process r of R takes the positions [r N / R, (r + 1) N / R) of
these N samples, so every sample is in exactly one process's stream, a shard belongs to one process or is shared by two
neighbours, and the streams differ by one sample at most.  Within a stream of n samples the one at position p goes to
the place that p + u W takes among all of them, u in [0, 1) drawn for each, W the window: nothing moves further than W
(and seldom than W / 2), there are no seams, and what lies at a place comes from W samples alike.

    shards    as `order.shuffled` puts them, draw 1
    u         word_0 / 2^32 of `order.order_words`, draw 2

Nothing is read to know any of it, so any batch can be the first.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from striate.base.errors import ConfigError
from striate.base.random import uniform
from striate.data.order import order_words, shuffled


@dataclass(frozen=True, slots=True)
class Share:
    """Which process of how many.

    Args:
        rank: counted from 0.
        world: number of processes.
    """

    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        assert 0 <= self.rank < self.world

    def bounds(self, count: int) -> tuple[int, int]:
        """The part [begin, end) of `count` positions that is this process's."""
        return count * self.rank // self.world, count * (self.rank + 1) // self.world


ALONE = Share()


def shard_order(
    shard: Int64[np.ndarray, " N"], *, seed: int, epoch: int, window: int, share: Share = ALONE
) -> Int64[Tensor, " n"]:
    """The rows that one process reads in one epoch, in their order.

    Args:
        shard: which shard each sample lies in; samples of a shard are in the order in which they lie there.
        seed: the run's seed.
        epoch: counted from 0.
        window: how far samples move, in samples; a few shards' worth mixes well, 0 reads every shard as it is.
        share: which process of how many.

    Raises:
        ConfigError: the window is below 0.
    """
    if window < 0:
        raise ConfigError("shard order", "window", ">= 0 samples", got=window, fix="take a few shards' worth")
    number = np.arange(int(shard.max(initial=-1)) + 1, dtype=np.int64)
    rank_of_shard = np.empty_like(number)
    rank_of_shard[shuffled(number, seed, epoch, draw=1)] = number
    laid = np.argsort(rank_of_shard[shard], kind="stable")  # shard after shard, each as it lies
    begin, end = share.bounds(len(laid))
    stream = laid[begin:end]
    moved = np.arange(len(stream)) + uniform(order_words(stream, seed, epoch, draw=2)[0]) * window
    return torch.from_numpy(stream[np.argsort(moved, kind="stable")])


def batch_starts(count: int, batch_size: int, share: Share = ALONE) -> Int64[np.ndarray, " K1"]:
    """Where each batch of a process's stream begins, and where the last one ends.

    Every process makes the same number K of batches, all of `batch_size` but for the last, which holds the rest; a
    process that would have nothing left for it keeps a sample back from the one before.

        K = ceil(ceil(N / R) / batch_size)        start_b = min(b batch_size, n - (K - b))

    Args:
        count: samples of all processes.
        batch_size: samples a batch, of one process.
        share: which process of how many.

    Raises:
        ConfigError: some process would have a batch without samples.

    >>> batch_starts(9, 4).tolist(), batch_starts(9, 4, Share(0, 2)).tolist(), batch_starts(9, 4, Share(1, 2)).tolist()
    ([0, 4, 8, 9], [0, 3, 4], [0, 4, 5])
    """
    assert batch_size >= 1
    begin, end = share.bounds(count)
    largest = -(-count // share.world)  # of the shares, rounded up
    n, batches = end - begin, -(-largest // batch_size)
    if count // share.world < batches:  # of the smallest share
        got = f"{count} samples in batches of {batch_size} for {share.world} processes"
        fix = "take a batch_size of 2 or more, or fewer processes"
        raise ConfigError("shard order", "every batch of every process", "at least one sample", got=got, fix=fix)
    place = np.arange(batches + 1, dtype=np.int64)
    return np.minimum(place * batch_size, n - (batches - place))
