"""Batches of a split: their order and their draws are functions of (seed, epoch), so any batch can be the first.

order of an epoch: the samples, sorted by word_0 2^32 + word_1 (as a signed number) of

    philox(key = (seed, ORDER), counter = (sample, epoch, 0, 0))
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from striate.base.random import Purpose, key, philox
from striate.data.augment import Augment, apply, draw
from striate.data.kinds import Images, Part
from striate.data.preprocess import Preprocess
from striate.data.split import Split

Batch = tuple[Tensor, Tensor]


def epoch_order(n: int, seed: int, epoch: int) -> Int64[Tensor, " n"]:
    """A permutation of n samples, a pure function of (n, seed, epoch).

    Args:
        n: number of samples.
        seed: the run's seed.
        epoch: counted from 0.
    """
    sample = np.arange(n, dtype=np.int64)
    zero = np.zeros_like(sample)
    words = philox((sample, zero + epoch, zero, zero), key(seed, Purpose.ORDER))
    return torch.from_numpy(np.argsort(words[0] << 32 | words[1], kind="stable"))


def training_batches(
    split: Split,
    preprocess: Preprocess,
    augment: Augment,
    *,
    seed: int,
    epoch: int,
    batch_size: int,
    first: int = 0,
    device: str | torch.device = "cpu",
) -> Iterator[Batch]:
    """One epoch of training, shuffled and augmented, from batch `first` on.

    More than six arguments: what to read, how to change it, and where in the run we are.

    Args:
        split: what to train on.
        preprocess: bytes to network input.
        augment: random changes; `Augment()` for none.
        seed: the run's seed.
        epoch: counted from 0.
        batch_size: pictures a batch; the last one holds the rest.
        first: the number of batches of this epoch that a resumed run has done.
        device: where the batches go.

    Yields:
        (input (B, C, H, W) float32 channels last, labels (B,) int64).
    """
    assert batch_size >= 1
    assert first >= 0
    order = epoch_order(len(split), seed, epoch)
    draws = draw(augment, seed, epoch, np.arange(len(split), dtype=np.int64))
    for start in range(first * batch_size, len(split), batch_size):
        samples = order[start : start + batch_size]
        images = _rows(split.images, samples)
        if not augment.changes_nothing:  # torch can do little with 16 bits: float32 holds them exactly
            images = apply(images if images.dtype == torch.uint8 else images.float(), draws[samples])
        yield preprocess.to_input(images.to(device)), split.labels[samples].to(device)


def evaluation_batches(
    split: Split, preprocess: Preprocess, batch_size: int, device: str | torch.device = "cpu"
) -> Iterator[Batch]:
    """The split once, in its own order; as `training_batches` without chance."""
    assert batch_size >= 1
    for start in range(0, len(split), batch_size):
        part = slice(start, start + batch_size)
        yield preprocess.to_input(split.images[part].to(device)), split.labels[part].to(device)


def _rows(images: Images, samples: Int64[Tensor, " B"]) -> Part:
    """The chosen pictures, copied as whole rows in the order in which they lie in memory."""
    samples = samples.to(images.device)
    if images.is_contiguous():
        return images.index_select(0, samples)
    return images.permute(0, 2, 3, 1).index_select(0, samples).permute(0, 3, 1, 2)
