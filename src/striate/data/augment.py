"""Random shift and flip: drawn apart from being applied, each draw a pure function of (seed, epoch, sample).

    word = philox(key = (seed, AUGMENT), counter = (sample, epoch, draw, 0))
    dy = floor(word_0 (2 s + 1) / 2^32) - s      dx likewise from word_1      flipped: word_2 < 2^31

y[i, j] = x[i + dy, j + dx], `fill` where that lies outside: a crop from a picture padded by s pixels.  The flip
(left and right change places) comes after the shift.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int64
from torch import Tensor

from striate.base.errors import ConfigError
from striate.base.random import Purpose, key, philox
from striate.data.kinds import Part


@dataclass(frozen=True, slots=True)
class Augment:
    """Which random changes a training picture meets.

    Args:
        shift: by up to this many pixels in both directions of both axes.
        flip: mirror half of the pictures left to right.
    """

    shift: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        if self.shift < 0:
            raise ConfigError("Augment", "shift", ">= 0", got=self.shift, fix="2 suits 28x28, 4 suits 32x32; 0 is none")

    @property
    def changes_nothing(self) -> bool:
        """Whether every picture stays as it is."""
        return self.shift == 0 and not self.flip


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """What was drawn for N samples; indexing picks samples.

    Args:
        shift: the largest shift that could be drawn, in pixels.
        dy, dx: in [-shift, shift], pixels.
        flip: which are mirrored, or None where none can be.
    """

    shift: int
    dy: Int64[Tensor, " N"]
    dx: Int64[Tensor, " N"]
    flip: Bool[Tensor, " N"] | None

    def __len__(self) -> int:
        return len(self.dy)

    def __getitem__(self, samples: Int64[Tensor, " M"] | slice) -> "Draws":
        flip = None if self.flip is None else self.flip[samples]
        return Draws(self.shift, self.dy[samples], self.dx[samples], flip)


def draw(augment: Augment, seed: int, epoch: int, samples: Int64[np.ndarray, " N"]) -> Draws:
    """Draw for these sample numbers in this epoch.

    Args:
        augment: what may be drawn.
        seed: the run's seed.
        epoch: counted from 0.
        samples: positions in the training split; the order of asking changes nothing.
    """
    zero = np.zeros_like(samples)
    words = philox((samples, zero + epoch, zero, zero), key(seed, Purpose.AUGMENT))
    dy, dx = (torch.from_numpy((word * (2 * augment.shift + 1) >> 32) - augment.shift) for word in words[:2])
    return Draws(augment.shift, dy, dx, torch.from_numpy(words[2] < 2**31) if augment.flip else None)


def apply(images: Part, draws: Draws, fill: int = 0) -> Part:
    """Apply what was drawn, one draw a picture.

    Args:
        images: uint8, or float32 in the units of the kind, on any device.
        draws: as many as pictures.
        fill: the byte that comes in from outside, 0 is black.

    Returns:
        New pictures, channels last in memory; the given ones where nothing can change.
    """
    assert len(draws) == len(images), f"{len(draws)} draws for {len(images)} pictures"
    moved = _shifted(images, draws, fill) if draws.shift else images
    if draws.flip is None:
        return moved
    return _flipped(moved if draws.shift else moved.clone(), draws.flip)


def _shifted(images: Part, draws: Draws, fill: int) -> Part:
    """Copy whole rows: row i of a result lies unbroken in the padded picture, WC bytes from one start."""
    B, C, H, W = images.shape
    s = draws.shift
    padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, s, s, s, s), value=fill).contiguous()  # B H+2s W+2s C
    high, wide = H + 2 * s, W + 2 * s
    corner = ((torch.arange(B) * high + draws.dy + s) * wide + draws.dx + s) * C  # where each result begins
    starts = (corner[:, None] + torch.arange(H) * (wide * C)).flatten().to(images.device)
    at_every_byte = padded.as_strided((padded.numel() - W * C + 1, W * C), (1, 1))
    return at_every_byte.index_select(0, starts).view(B, H, W, C).permute(0, 3, 1, 2)


def _flipped(images: Part, flip: Bool[Tensor, " B"]) -> Part:
    """Mirror the chosen ones where they lie: three times as fast as choosing between two whole batches."""
    chosen = flip.nonzero()[:, 0].to(images.device)
    rows = images.permute(0, 2, 3, 1)  # B H W C
    rows.index_copy_(0, chosen, rows.index_select(0, chosen).flip(2))
    return images
