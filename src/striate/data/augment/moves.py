"""Moves of whole pixels: windows, shifts and flips, which copy and compute nothing.

y[i, j] = x[top + i + dy, left + j + dx], `fill` where that lies outside: a crop from a picture padded by s pixels.
(top, left) is the corner of the window in the middle of a stored picture that is larger than the result, or (0, 0).
The flips come after the shift.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Shaped
from torch import Tensor

from striate.data.augment.draws import Draws

Images = Shaped[Tensor, "B C H W"]
Window = Shaped[Tensor, "B C h w"]


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
    for flip, axis in ((draws.flip, 2), (draws.vertical_flip, 1)):
        if flip is not None:
            y, new = _flipped(y if new else y.clone(), flip, axis), True
    return y


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


def _flipped(images: Images, flip: Bool[Tensor, " B"], axis: int) -> Images:
    """Mirror the chosen ones where they lie: three times as fast as choosing between two whole batches."""
    chosen = flip.nonzero()[:, 0].to(images.device)
    rows = images.permute(0, 2, 3, 1)  # B H W C
    mirrored = rows.index_select(0, chosen).flip(axis)
    if rows.is_contiguous() and rows.stride(0) * rows.element_size() % 8 == 0:  # torch copies number by number, so
        rows, mirrored = (part.flatten(1).view(torch.int64) for part in (rows, mirrored))  # eight bytes at a time
    rows.index_copy_(0, chosen, mirrored)
    return images
