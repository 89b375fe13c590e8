"""Random erasing: a rectangle of a picture is overwritten with noise.

    with probability p: share of the area uniform in [0.02, 0.4], aspect ratio log-uniform in [0.3, 1 / 0.3], sides
    rounded to whole pixels, place uniform; every number in it uniform in [0, top]

Without a top the noise lies between the picture's own least and largest value.  The noise is cut, at a drawn place,
from one tile of Philox's numbers that all pictures share: a number for each pixel anew would take longer than all else.

Zhong, Zhong, Li, Kang and Yang 2017, arXiv:1708.04896, their variant RE-R; they draw the aspect ratio uniformly, which
prefers wide rectangles to high ones.
"""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float32, Int64, Shaped
from torch import Tensor

from striate.base.random import Purpose, key, philox, uniform
from striate.data.augment.boxes import box
from striate.data.augment.draws import Block, Draws

LEAST, MOST = 0.02, 0.4  # share of the area
RATIO = 1 / 0.3


def erased(x: Shaped[Tensor, "B C H W"], draws: Draws, top: float | None) -> Shaped[Tensor, "B C H W"]:
    """Overwrite a rectangle in some; x is changed.

    Args:
        x: uint8 or float32, on any device.
        draws: as many as pictures.
        top: the value of white, or None.
    """
    size = (x.shape[2], x.shape[3])
    noise = _tile(x.shape[1], size, x.device)
    for row, high, wide, i, j, from_i, from_j in rectangles(draws, size).tolist():
        part = noise[:, from_i : from_i + high, from_j : from_j + wide]
        low, span = (x[row].amin(), x[row].amax() - x[row].amin()) if top is None else (0, top)
        part = part * (256 if x.dtype == torch.uint8 else span) + low  # a byte: rounded down
        x[row, :, i : i + high, j : j + wide] = part.to(x.dtype)
    return x


def rectangles(draws: Draws, size: tuple[int, int]) -> Int64[Tensor, "M 7"]:
    """(picture, height, width, y, x, y and x in the noise) of those that are erased, in pixels."""
    drawn = draws.uniform(Block.ERASE)
    (whether, area, place, _), at = drawn[:, 0].unbind(1), drawn[:, 1]
    rows = (whether < draws.augment.erase).nonzero()[:, 0]
    sides = box(LEAST + (MOST - LEAST) * area[rows], place[rows], size, RATIO)
    high, wide = (side.round().clamp(min=1).long() for side in sides)
    room = torch.stack([size[0] - high, size[1] - wide] * 2, 1) + 1
    return torch.cat([rows[:, None], high[:, None], wide[:, None], (at[rows] * room).long()], 1)


@lru_cache(maxsize=8)
def _tile(channels: int, size: tuple[int, int], device: torch.device) -> Float32[Tensor, "C H W"]:
    """Noise in [0, 1)."""
    numbers = np.arange(channels * size[0] * size[1], dtype=np.int64)
    zero = np.zeros_like(numbers)
    words = philox((numbers, zero, zero + Block.ERASE, zero + 2), key(0, Purpose.AUGMENT))[0]
    return torch.from_numpy(uniform(words >> 8 << 8).astype(np.float32)).view(channels, *size).to(device)
