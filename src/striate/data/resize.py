"""How an image of any size is brought to the one size of a picture.

    squash       both sides to the size, whatever becomes of the proportions
    crop         the largest part of the image that has the picture's proportions, from its centre, to the size
    letterbox    the image in its own proportions, as large as fits; black around it

The shorter side of that part, or of the letterboxed image, is rounded to whole pixels, a half upwards, and at least 1;
of an odd rest the larger half is on the right and below.

The filter is Pillow's antialiased bilinear one, each channel for itself, along rows and along columns in the order that
Pillow finds cheaper: 8 bits in its fixed-point arithmetic, rounded after each of the two; others in its floating-point
one, 16 bits rounded at the end, a half to even.  So the last bit is Pillow's, and may be another with another version.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from striate.data.kinds import Pixels, Resampled
from striate.data.raster import Box, array_of, size_of

Resize = Literal["squash", "crop", "letterbox"]
FILL = 0  # black, around a letterboxed image


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image goes in a picture.

    Args:
        scaled: (height, width) that the whole image would have at the same scale.
        window: left, top, right, bottom of what is kept, in pixels of the image.
        size: (height, width) of what is kept, in the picture.
        corner: (top, left) of it, in the picture.
    """

    scaled: tuple[int, int]
    window: Box
    size: tuple[int, int]
    corner: tuple[int, int]


def placement(image: tuple[int, int], picture: tuple[int, int], resize: Resize) -> Placement:
    """The place of an image in a picture, both (height, width) in pixels."""
    (H, W), (h, w) = image, picture
    everything = (0, 0, W, H)
    if resize == "squash":
        return Placement(picture, everything, picture, (0, 0))
    if resize == "letterbox":
        scaled = (h, _proportion(W, h, H)) if h * W < w * H else (_proportion(H, w, W), w)
        return Placement(scaled, everything, scaled, ((h - scaled[0]) // 2, (w - scaled[1]) // 2))
    kept = (H, _proportion(w, H, h)) if h * W > w * H else (_proportion(h, W, w), W)
    top, left = (H - kept[0]) // 2, (W - kept[1]) // 2
    scaled = (-(-h * H // kept[0]), -(-w * W // kept[1]))
    return Placement(scaled, (left, top, left + kept[1], top + kept[0]), picture, (0, 0))


def _proportion(side: int, new: int, old: int) -> int:
    return max(1, (2 * side * new + old) // (2 * old))


def resample(stored: Pixels | Image.Image, box: Box, size: tuple[int, int]) -> Resampled:
    """What lies in a box of an image, at another size.

    Args:
        stored: pixels H W C, or a Pillow image of mode L or RGB.
        box: left, top, right, bottom in the stored pixels; the filter sees what lies beyond its edges, too.
        size: (height, width) in pixels.

    Returns:
        h w C; the given pixels themselves where nothing changes.
    """
    height, width = size_of(stored)
    if size == (height, width) and box == (0, 0, width, height):
        return array_of(stored)
    if isinstance(stored, Image.Image) or (stored.dtype == np.uint8 and stored.shape[2] == 3):
        return _resized(stored, box, size)
    channels = [stored[..., c] for c in range(stored.shape[2])]
    if stored.dtype == np.uint8:
        return np.dstack([_resized(channel, box, size) for channel in channels])
    found = np.dstack([_resized(channel.astype(np.float32), box, size) for channel in channels])
    return found if stored.dtype == np.float32 else np.rint(found).clip(0, 65_535).astype(np.uint16)


def _resized(stored: np.ndarray | Image.Image, box: Box, size: tuple[int, int]) -> np.ndarray:
    image = stored if isinstance(stored, Image.Image) else Image.fromarray(np.ascontiguousarray(stored))
    return array_of(image.resize(size[::-1], Image.Resampling.BILINEAR, box=box))
