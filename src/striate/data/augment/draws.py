"""What was drawn for every sample: pure functions of (seed, epoch, sample), apart from being applied.

    words = philox(key = (seed, AUGMENT), counter = (sample, epoch, block, row))

A block belongs to one kind of change, so what one option draws does not depend on which others are on.  An option
that needs more numbers than its block has (one a pixel, one a channel) takes the block for the counter of another
Philox: `more`.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from striate.base.random import Purpose, key, philox, uniform
from striate.data.augment.settings import Augment

HALF = 2**31


class Block(IntEnum):
    """The third word of the counter; every resumed run depends on these numbers."""

    MOVES = 0  # dy, dx, flip, vertical flip
    CROP = 1  # area, aspect, y, x
    AFFINE = 2  # angle, zoom, shear x, shear y; translate y, x
    JITTER = 3  # brightness, contrast, saturation, hue
    NOISE = 4  # more: a pair of words for each channel
    ERASE = 5  # whether, area, aspect; y, x, and where in the noise
    POLICY = 6  # operation, strength, sign; a row for each operation
    ELASTIC = 7  # more: a byte for each pixel and axis
    MIX = 8  # which, lambda, y, x


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """What was drawn for N samples; indexing picks samples.

    Args:
        augment: what could be drawn.
        words: of the R rows that its options need, where `places(augment)` says; on the CPU.
    """

    augment: Augment
    words: Int64[Tensor, "N R 4"]

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, samples: Int64[Tensor, " M"] | slice) -> "Draws":
        return Draws(self.augment, self.words[samples])

    def of(self, block: Block) -> Int64[Tensor, "N K 4"]:
        """The words of one block."""
        return self.words[:, places(self.augment)[block]]

    def uniform(self, block: Block) -> Float64[Tensor, "N K 4"]:
        """The same as numbers in [0, 1)."""
        return uniform(self.of(block))

    def signed(self, block: Block) -> Float64[Tensor, "N K 4"]:
        """The same as numbers in [-1, 1)."""
        return 2 * self.uniform(block) - 1

    @property
    def shift(self) -> int:
        """The largest shift that could be drawn, in pixels."""
        return self.augment.shift

    @property
    def dy(self) -> Int64[Tensor, " N"]:
        """In [-shift, shift], pixels."""
        return self.shifts[:, 0]

    @property
    def dx(self) -> Int64[Tensor, " N"]:
        """In [-shift, shift], pixels."""
        return self.shifts[:, 1]

    @property
    def flip(self) -> Bool[Tensor, " N"] | None:
        """Which are mirrored left to right, or None where none can be."""
        return self.of(Block.MOVES)[:, 0, 2] < HALF if self.augment.flip else None

    @property
    def vertical_flip(self) -> Bool[Tensor, " N"] | None:
        """Which are mirrored top to bottom, or None where none can be."""
        return self.of(Block.MOVES)[:, 0, 3] < HALF if self.augment.vertical_flip else None

    @property
    def shifts(self) -> Int64[Tensor, "N 2"]:
        """(dy, dx) in one."""
        return (self.of(Block.MOVES)[:, 0, :2] * (2 * self.shift + 1) >> 32) - self.shift


@lru_cache(maxsize=64)
def places(augment: Augment) -> dict[Block, slice]:
    """Which rows each block has: those of options that are on, and MOVES always."""
    a = augment
    counts = {
        Block.MOVES: 1,
        Block.CROP: int(a.crop_scale < 1),
        Block.AFFINE: 2 * a.warps,
        Block.JITTER: int(a.jitters),
        Block.NOISE: int(a.colour_noise > 0),
        Block.ERASE: 2 * (a.erase > 0),
        Block.POLICY: {"none": 0, "randaugment": a.policy_operations, "trivialaugment": 1}[a.policy],
        Block.ELASTIC: int(a.elastic > 0),
        Block.MIX: int(a.mixes),
    }
    ends = np.cumsum(list(counts.values())).tolist()
    return {block: slice(end - count, end) for (block, count), end in zip(counts.items(), ends, strict=True)}


def draw(augment: Augment, seed: int, epoch: int, samples: Int64[np.ndarray, " N"]) -> Draws:
    """Draw for these sample numbers in this epoch.

    Args:
        augment: what may be drawn.
        seed: the run's seed.
        epoch: counted from 0.
        samples: positions in the training split; the order of asking changes nothing.
    """
    rows = [(block, row) for block, part in places(augment).items() for row in range(part.stop - part.start)]
    block, row = np.array(rows, dtype=np.int64).T
    sample, number, block, row = np.broadcast_arrays(samples[:, None], np.int64(epoch), block, row)
    words = philox((sample, number, block, row), key(seed, Purpose.AUGMENT))
    return Draws(augment, torch.from_numpy(np.stack(words, axis=-1)))


def more(words: Int64[Tensor, "N 4"], count: int) -> Int64[Tensor, "N M"]:
    """Words in plenty from the four of a block: philox(key = (0, AUGMENT), counter = (w0, w1, w2, i)).

    Args:
        words: of one block, on any device.
        count: how many are wanted, M.
    """
    each = torch.arange((count + 3) // 4, device=words.device)
    first, second, third = (words[:, place, None].expand(-1, len(each)) for place in range(3))
    drawn = philox((first, second, third, each.expand(len(words), -1)), key(0, Purpose.AUGMENT))
    return torch.stack(drawn, -1).flatten(1)[:, :count]
