"""Moves of whole pixels: windows, shifts and flips, which copy and compute nothing; and crops that are stretched.

y[i, j] = x[top + i + dy, left + j + dx], `fill` where that lies outside: a crop from a picture padded by s pixels.
(top, left) is the corner of the window in the middle of a stored picture that is larger than the result, or (0, 0).
The flips come after the shift.

A crop (Szegedy et al. 2014, section 6) has a share of the area uniform in [crop_scale, 1], an aspect ratio log-uniform
in [3/4, 4/3] (`boxes`), whole pixels and a uniform place.  It is brought to the result's size by the antialiased
bilinear filter, bytes rounded to bytes, as Pillow and so `picture.fit` do it.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int64, Shaped
from torch import Tensor

from striate.data.augment.boxes import box
from striate.data.augment.draws import Block, Draws

Images = Shaped[Tensor, "B C H W"]
Window = Shaped[Tensor, "B C h w"]
RATIO = 4 / 3  # of a crop's sides


def moved(images: Images, draws: Draws, size: tuple[int, int], fill: int | float) -> Window:
    """Shift and flip.

    Args:
        images: uint8 or float32, on any device, at least as large as the result.
        draws: as many as pictures.
        size: (h, w) of the results in pixels.
        fill: what comes in from outside.

    Returns:
        New pictures, channels last in memory; the given ones where nothing can change.
    """
    new = draws.shift > 0 or images.shape[2:] != size
    y = _shifted(images, draws, size, fill) if new else images
    return _mirrored(y if new or not _flips(draws) else y.clone(), draws)


def moves(draws: Draws, stored: tuple[int, int], size: tuple[int, int]) -> Int64[Tensor, "B 4"]:
    """What `moved` does, in numbers: top and left of each window, may be outside; whether it is mirrored, upside down.

    Args:
        draws: what was drawn.
        stored: (H, W) of the pictures.
        size: (h, w) of the results.
    """
    found = np.zeros((len(draws), 4), dtype=np.int64)  # quicker than torch with few numbers
    found[:, :2] = draws.shifts.numpy() + corner(stored, size)
    for column, flip in ((2, draws.flip), (3, draws.vertical_flip)):
        if flip is not None:
            found[:, column] = flip.numpy()
    return torch.from_numpy(found)


def cropped(images: Images, draws: Draws, size: tuple[int, int]) -> Window:
    """Crop, stretch and flip.  Arguments as in `moved`, and the pictures may be smaller than the result."""
    B, C, H, W = images.shape
    y = images.new_empty((B, *size, C)).permute(0, 3, 1, 2)
    for row, (top, left, high, wide) in enumerate(crops(draws, (H, W)).tolist()):
        y[row] = _stretched(images[row : row + 1, :, top : top + high, left : left + wide], size)[0]
    return _mirrored(y, draws)


def crops(draws: Draws, stored: tuple[int, int]) -> Int64[Tensor, "B 4"]:
    """(top, left, height, width) in pixels."""
    area, place, y, x = draws.uniform(Block.CROP)[:, 0].unbind(1)
    share = draws.augment.crop_scale + (1 - draws.augment.crop_scale) * area
    high, wide = (side.round().clamp(min=1) for side in box(share, place, stored, RATIO))
    return torch.stack([y * (stored[0] - high + 1), x * (stored[1] - wide + 1), high, wide], 1).long()


def _stretched(crop: Shaped[Tensor, "1 C u v"], size: tuple[int, int]) -> Shaped[Tensor, "1 C h w"]:
    if crop.dtype != torch.uint8 or crop.device.type == "cpu":
        return F.interpolate(crop, size, mode="bilinear", antialias=True)
    return F.interpolate(crop.float(), size, mode="bilinear", antialias=True).round_().to(torch.uint8)


def corner(stored: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Where the window in the middle begins."""
    return (stored[0] - size[0]) // 2, (stored[1] - size[1]) // 2


def _shifted(images: Images, draws: Draws, size: tuple[int, int], fill: int | float) -> Window:
    """Copy whole rows: row i of a result lies unbroken in the padded picture, wC numbers from one start."""
    B, C, H, W = images.shape
    h, w = size
    top, left = corner((H, W), size)
    p = max(0, draws.shift - top, draws.shift - left, draws.shift + top + h - H, draws.shift + left + w - W)
    rows = images.permute(0, 2, 3, 1)
    padded = F.pad(rows, (0, 0, p, p, p, p), value=fill).contiguous() if p else rows.contiguous()  # B H+2p W+2p C
    high, wide = H + 2 * p, W + 2 * p
    steps = torch.tensor([wide * C, C])
    first = (top + p) * wide * C + (left + p) * C
    corners = (draws.shifts * steps).sum(1) + torch.arange(B) * (high * wide * C) + first  # where results begin
    starts = (corners[:, None] + torch.arange(h) * (wide * C)).flatten().to(images.device)
    at_every_number = padded.as_strided((max(0, padded.numel() - w * C + 1), w * C), (1, 1))
    return at_every_number.index_select(0, starts).view(B, h, w, C).permute(0, 3, 1, 2)


def _flips(draws: Draws) -> bool:
    return draws.augment.flip or draws.augment.vertical_flip


def _mirrored(images: Images, draws: Draws) -> Images:
    """Both flips, where they lie."""
    for flip, axis in ((draws.flip, 2), (draws.vertical_flip, 1)):
        if flip is not None:
            images = _flipped(images, flip, axis)
    return images


def _flipped(images: Images, flip: Bool[Tensor, " B"], axis: int) -> Images:
    """Mirror the chosen ones where they lie: three times as fast as choosing between two whole batches."""
    chosen = flip.nonzero()[:, 0].to(images.device)
    if not len(chosen):
        return images
    rows = images.permute(0, 2, 3, 1)  # B H W C
    mirrored = rows.index_select(0, chosen).flip(axis)
    if rows.is_contiguous() and rows.stride(0) * rows.element_size() % 8 == 0:  # torch copies number by number, so
        rows, mirrored = (part.flatten(1).view(torch.int64) for part in (rows, mirrored))  # eight bytes at a time
    rows.index_copy_(0, chosen, mirrored)
    return images
