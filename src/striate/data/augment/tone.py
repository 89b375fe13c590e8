"""The operations of Pillow that the policies use, on whole batches.  s = top / 255 is one level, v a pixel.

    autocontrast   (v - low) top / (high - low), low and high the picture's extremes in this channel
    equalize       Pillow's table of 256 levels from the channel's histogram, linear between levels
    posterize      the leading bits of the level are kept: floor(v / (s 2^(8 - bits))) s 2^(8 - bits)
    solarize       v below the threshold, top - v from it on
    sharpness      m + f (v - m), m smoothed by (1 1 1; 1 5 1; 1 1 1) / 13, the outermost pixels as they are

Equal to `PIL.ImageOps` and `PIL.ImageEnhance` on whole levels but for their rounding.
"""

import torch
from jaxtyping import Float32
from torch import Tensor

from striate.data.augment.colour import Factors, Images, blend

LEVELS = 256


def autocontrast(x: Images, top: float) -> Images:
    """Stretch each channel to the whole range; one that is constant stays."""
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    spread = high - low
    stretched = (x - low).mul_(top / torch.where(spread > 0, spread, 1.0))
    return torch.where(spread > 0, stretched, x).clamp_(0, top)


def equalize(x: Images, top: float) -> Images:
    """Make all levels equally frequent in each channel, as far as a table of levels can."""
    level = (x * (255 / top)).clamp_(0, 255)
    table = _equal_table(level.flatten(2))
    below = level.floor().long().flatten(2)
    part = level.flatten(2) - below
    low, high = table.gather(2, below), table.gather(2, (below + 1).clamp_(max=255))
    return ((high - low).mul_(part).add_(low)).mul_(top / 255).view_as(x)


def _equal_table(level: Float32[Tensor, "B C P"]) -> Float32[Tensor, "B C L"]:
    """Pillow's: (step // 2 + pixels below the level) // step; the levels themselves where step is 0."""
    index = level.round().long()
    counts = torch.zeros(*level.shape[:2], LEVELS, dtype=torch.int64, device=level.device)
    counts.scatter_add_(2, index, torch.ones_like(index))
    last = counts.gather(2, index.amax(2, keepdim=True))
    step = (level.shape[2] - last) // 255
    below = counts.cumsum(2) - counts
    table = (step // 2 + below) // step.clamp(min=1)
    levels = torch.arange(LEVELS, device=level.device)
    return torch.where(step > 0, table.clamp_(max=255), levels).float()


def posterize(x: Images, bits: Factors, top: float) -> Images:
    """Keep the leading bits of 8."""
    step = torch.exp2(8 - bits) * (top / 255)
    return (x / step).floor_().mul_(step)


def solarize(x: Images, threshold: Factors, top: float) -> Images:
    """Invert what is at the threshold or brighter."""
    return torch.where(x < threshold, x, top - x)


def sharpness(x: Images, factor: Factors, top: float) -> Images:
    """Away from a smoothed picture, or towards it where f < 1."""
    H, W = x.shape[2:]
    smooth = x.clone()
    if H > 2 and W > 2:
        middle = x[:, :, 1:-1, 1:-1] * 4
        for i in range(3):
            for j in range(3):
                middle += x[:, :, i : i + H - 2, j : j + W - 2]
        smooth[:, :, 1:-1, 1:-1] = middle.div_(13)
    return blend(smooth, x, factor, top)
