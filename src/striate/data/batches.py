"""Batches of a split: their order and their draws are functions of (seed, epoch), so any batch can be the first.

order of an epoch: the samples as `order.shuffled` puts them, draw 0

of tar shards: the order of `shard_order`, shard after shard, mixed within a window of four shards.

balanced: of N samples in C classes every class gives N / C places (the first N mod C classes of that epoch's order
one more).  A class smaller than its places begins anew, in another order; its sample then counts as the
(sample + k N)-th in its k-th round, so that it is augmented anew as well.  The places are put in the order above.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int64, Shaped, UInt8
from torch import Tensor

from striate.calculus.whitening import Axes
from striate.data.augment import Augment, Draws, apply, draw, mix, moves
from striate.data.kinds import top_of
from striate.data.order import shuffled
from striate.data.pictures import Held, Shelved, lying
from striate.data.prefetch import prefetched
from striate.data.preprocess import Preprocess
from striate.data.shard_order import shard_order
from striate.data.split import Split
from striate.data.tensor_kinds import Part

DRAWN_TOGETHER = 4096  # samples: for a batch alone, drawing takes longer than moving small pictures
MADE_TOGETHER = 2**20  # numbers: they stay in a cache until they are used
SHARDS_MIXED = 4  # shards' worth of samples within which a sharded set is mixed

Batch = tuple[Tensor, Tensor]
Samples = Int64[np.ndarray, " m"]


@runtime_checkable
class Windows(Protocol):
    """Moves and normalises bytes on the CPU in one pass, with the same result to the bit as `apply` and `to_input`."""

    def __call__(
        self,
        segments: tuple[UInt8[np.ndarray, "_ H W C"], ...],
        places: Int64[np.ndarray, "B 2"],
        moves: Int64[Tensor, "B 4"],
        *,
        size: tuple[int, int],
        border: int,
        steps: tuple[Float32[Tensor, " C"], Float32[Tensor, " C"]],
    ) -> Float32[Tensor, "B C h w"]:
        """Of pictures that lie in a segment's row: windows, mirrored or not (`augment.moves`), a border, the steps."""
        ...


@runtime_checkable
class Moved(Protocol):
    """Moves bytes alone: the windows that `Windows` would normalise."""

    def __call__(
        self,
        segments: tuple[UInt8[np.ndarray, "_ H W C"], ...],
        places: Int64[np.ndarray, "B 2"],
        moves: Int64[Tensor, "B 4"],
        *,
        size: tuple[int, int],
    ) -> UInt8[Tensor, "B C h w"]:
        """Of pictures that lie in a segment's row: windows, mirrored or not (`augment.moves`)."""
        ...


@dataclass(frozen=True, slots=True)
class Feed:
    """What training batches are made of.

    Args:
        split: what to train on.
        preprocess: pixels to network input.
        augment: random changes; `Augment()` for none.
        seed: the run's seed.
        batch_size: pictures a batch; the last one of an epoch holds the rest.
        num_classes: of the labels.
        axes: of the training pictures' colours, for colour noise.
        balanced: every class equally often.
        device: where the batches go.
        windows: what makes input of pictures that are only moved, such as `striate.native.augment.windows`; None leaves
            it to torch.
        moved: what moves them where that makes no input of them: batches are then bytes without border, for an engine
            that normalises as it reads them; needs `windows`, and that pictures are `in_one_pass` and not mixed.
    """

    split: Split
    preprocess: Preprocess
    augment: Augment
    seed: int
    batch_size: int
    num_classes: int
    axes: Axes | None = None
    balanced: bool = False
    device: str | torch.device = "cpu"
    windows: Windows | None = None
    moved: Moved | None = None

    def __post_init__(self) -> None:
        assert self.batch_size >= 1
        assert self.moved is None or (self.in_one_pass and not self.augment.mixes)

    @property
    def in_one_pass(self) -> bool:
        """Whether `windows` makes the input: of bytes on the CPU that are moved and normalised, and nothing else."""
        on_cpu, kind = torch.device(self.device).type == "cpu", self.preprocess.picture.kind
        usual = self.augment.only_moves and self.preprocess.whiten is None
        return self.windows is not None and usual and on_cpu and kind == "uint8"


def epoch_order(n: int, seed: int, epoch: int) -> Int64[Tensor, " n"]:
    """A permutation of n samples, a pure function of (n, seed, epoch).

    Args:
        n: number of samples.
        seed: the run's seed.
        epoch: counted from 0.
    """
    return torch.from_numpy(shuffled(np.arange(n, dtype=np.int64), seed, epoch))


def balanced_order(labels: Int64[np.ndarray, " n"], seed: int, epoch: int) -> Int64[np.ndarray, " n"]:
    """An epoch in which every class comes equally often: sample + n times its round, see the top of this file.

    >>> sorted((balanced_order(np.array([0, 0, 0, 1]), seed=0, epoch=0) % 4).tolist())[-2:]
    [3, 3]
    """
    n = len(labels)
    classes = np.unique(labels)
    turn = shuffled(classes, seed, epoch, draw=1)
    share, more = divmod(n, len(turn))
    members = [np.flatnonzero(labels == c) for c in turn]
    chosen = [_rounds(rows, share + (place < more), n, seed, epoch) for place, rows in enumerate(members)]
    return shuffled(np.concatenate(chosen), seed, epoch)


def _rounds(members: Samples, count: int, n: int, seed: int, epoch: int) -> Int64[np.ndarray, " places"]:
    """`count` places for the members of a class, round after round, each in an order of its own."""
    rounds = [members + k * n for k in range(-(-count // len(members)))]
    return np.concatenate([shuffled(one, seed, epoch, draw=2) for one in rounds])[:count]


def epoch_samples(feed: Feed, epoch: int) -> Samples:
    """The samples of an epoch in the order in which they come."""
    if feed.balanced:
        return balanced_order(feed.split.labels.numpy(), feed.seed, epoch)
    shards = feed.split.shards
    if shards is not None:
        window = SHARDS_MIXED * -(-len(shards) // max(1, len(np.unique(shards))))
        return shard_order(shards, seed=feed.seed, epoch=epoch, window=window).numpy()
    return epoch_order(len(feed.split), feed.seed, epoch).numpy()


def whole(count: int) -> slice:
    """All rows: of a process that shares its batches with no other."""
    return slice(0, count)


def training_batches(feed: Feed, epoch: int, first: int = 0, rows: Callable[[int], slice] = whole) -> Iterator[Batch]:
    """One epoch of training, shuffled and augmented, from batch `first` on, made ahead or together.

    Args:
        feed: what the batches are made of.
        epoch: counted from 0.
        first: the number of batches of this epoch that a resumed run has done.
        rows: which rows of a batch to make, by its length; another process makes the others.

    Yields:
        (input (B, C, H, W) float32 channels last, or bytes where the feed has `moved`; labels (B,) int64, or a
        probability for each class where pictures are mixed).
    """
    assert first >= 0
    batches = _training_batches(feed, epoch, first, rows)
    return batches if _at_once(feed) > 1 else prefetched(batches)  # many together are made faster than handed over


def _training_batches(feed: Feed, epoch: int, first: int, rows: Callable[[int], slice]) -> Iterator[Batch]:
    order = epoch_samples(feed, epoch)
    starts = range(first * feed.batch_size, len(order), feed.batch_size)
    together = max(1, DRAWN_TOGETHER // feed.batch_size)
    for group in range(0, len(starts), together):
        batches = [order[start : start + feed.batch_size] for start in starts[group : group + together]]
        batches = [batch[rows(len(batch))] for batch in batches]
        yield from _group(feed, batches, _drawn(feed, epoch, np.concatenate(batches)))


def _at_once(feed: Feed) -> int:
    """How many batches are made in one go: of small pictures in memory, for which one at a time is mostly calling."""
    if not feed.in_one_pass or not isinstance(feed.split.pictures, Held | Shelved):
        return 1
    picture = feed.preprocess.picture
    numbers = picture.channels * (picture.height + 2 * picture.pad) * (picture.width + 2 * picture.pad)
    return max(1, MADE_TOGETHER // (numbers * feed.batch_size))


def _group(feed: Feed, batches: Sequence[Int64[np.ndarray, " _"]], draws: Draws | None) -> Iterator[Batch]:
    """Batches, one by one, some of them made together."""
    count, done = _at_once(feed), 0
    for start in range(0, len(batches), count):
        some = batches[start : start + count]
        samples = np.concatenate(some)
        own = None if draws is None else draws[done : done + len(samples)]
        x, labels = _pictures(feed, samples, own)
        done += len(samples)
        first = 0
        for length in map(len, some):
            part = slice(first, first + length)
            yield _mixed(feed, (x[part], labels[part]), None if own is None else own[part])
            first += length


def batch_of(feed: Feed, epoch: int, samples: Samples) -> Batch:
    """The batch that these samples make in this epoch.

    Args:
        feed: what batches are made of.
        epoch: counted from 0.
        samples: positions in the split; plus k times its length for the k-th round of a sample that comes again.
    """
    draws = _drawn(feed, epoch, samples)
    return _mixed(feed, _pictures(feed, samples, draws), draws)


def _drawn(feed: Feed, epoch: int, samples: Samples) -> Draws | None:
    return None if feed.augment.changes_nothing else draw(feed.augment, feed.seed, epoch, samples)


def _pictures(feed: Feed, samples: Samples, draws: Draws | None) -> Batch:
    rows = samples % len(feed.split)
    x = _in_one_pass(feed, rows, draws) if feed.in_one_pass else _step_by_step(feed, rows, draws)
    return x, feed.split.labels[rows].to(feed.device)


def _mixed(feed: Feed, batch: Batch, draws: Draws | None) -> Batch:
    return batch if draws is None or not feed.augment.mixes else mix(*batch, draws, feed.num_classes)


def _in_one_pass(feed: Feed, rows: Samples, draws: Draws | None) -> Shaped[Tensor, "B C H W"]:
    assert feed.windows is not None
    picture, pictures = feed.preprocess.picture, lying(feed.split.pictures, rows)
    size, (high, wide) = (picture.height, picture.width), pictures.segments[0].shape[1:3]
    places = np.stack([pictures.segment, pictures.row], 1)
    how = torch.zeros(len(rows), 4, dtype=torch.int64) if draws is None else moves(draws, (high, wide), size)
    if feed.moved is not None:
        return feed.moved(pictures.segments, places, how, size=size)
    steps = feed.preprocess.steps()
    return feed.windows(pictures.segments, places, how, size=size, border=picture.pad, steps=steps)


def _step_by_step(feed: Feed, rows: Samples, draws: Draws | None) -> Float32[Tensor, "B C H W"]:
    images = feed.split.pictures.gather(rows).to(feed.device)
    return feed.preprocess.to_input(images if draws is None else _augmented(feed, images, draws))


def _augmented(feed: Feed, images: Part, draws: Draws) -> Shaped[Tensor, "B C H W"]:
    picture = feed.preprocess.picture
    images = images if images.dtype == torch.uint8 else images.float()  # it holds 16 bits exactly; torch adds few such
    size = (picture.height, picture.width)
    return apply(images, draws, size=size, top=top_of(picture.kind), axes=feed.axes)


def evaluation_batches(
    split: Split,
    preprocess: Preprocess,
    batch_size: int,
    *,
    device: str | torch.device = "cpu",
    rows: Callable[[int], slice] = whole,
) -> Iterator[Batch]:
    """The split once, in its own order, or those of it that `rows` picks; as `training_batches` without chance."""
    assert batch_size >= 1
    places = np.arange(len(split))[rows(len(split))]
    return prefetched(_evaluation_batches(split, preprocess, places, batch_size, device))


def _evaluation_batches(
    split: Split, preprocess: Preprocess, places: Samples, batch_size: int, device: str | torch.device
) -> Iterator[Batch]:
    for start in range(0, len(places), batch_size):
        rows = places[start : start + batch_size]
        yield preprocess.to_input(split.pictures.gather(rows).to(device)), split.labels[rows].to(device)
