"""How an image of any size is brought to the one size of a picture.

    squash       both sides to the size, whatever becomes of the proportions
    crop         the side that needs the larger scale to its size, the other in proportion; then the centre
    letterbox    the side that needs the smaller scale to its size, the other in proportion; then black around it

"In proportion" is rounded to whole pixels, a half upwards, and at least 1; of an odd rest the larger half is on the
right and below.  The filter is Pillow's antialiased bilinear one, each channel for itself: 8 bits in Pillow's
fixed-point arithmetic, others in its floating-point one, 16 bits rounded, a half to even.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from striate.data.kinds import Pixels, Planes
from striate.data.raster import Box

Resize = Literal["squash", "crop", "letterbox"]
FILL = 0  # black, around a letterboxed image


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image goes in a picture.

    Args:
        scaled: (height, width) of the whole image after the resize.
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
    by_height = (h * W >= w * H) == (resize == "crop")
    scaled = (h, _proportion(W, h, H)) if by_height else (_proportion(H, w, W), w)
    if resize == "letterbox":
        return Placement(scaled, everything, scaled, ((h - scaled[0]) // 2, (w - scaled[1]) // 2))
    top, left = (scaled[0] - h) // 2, (scaled[1] - w) // 2
    # Only what is kept is computed: a thread of 1 x 30,000 pixels would be scaled to millions.
    window = tuple(edge * whole / part for edge, whole, part in _edges(image, scaled, (top, left), picture))
    return Placement(scaled, (window[0], window[1], min(window[2], W), min(window[3], H)), picture, (0, 0))


def _proportion(side: int, new: int, old: int) -> int:
    return max(1, (2 * side * new + old) // (2 * old))


def _edges(
    image: tuple[int, int], scaled: tuple[int, int], corner: tuple[int, int], size: tuple[int, int]
) -> list[tuple[int, int, int]]:
    """(edge in the scaled image, side of the image, side of the scaled image) of left, top, right, bottom."""
    (H, W), (rows, columns), (top, left), (h, w) = image, scaled, corner, size
    return [(left, W, columns), (top, H, rows), (left + w, W, columns), (top + h, H, rows)]


def resample(pixels: Pixels, box: Box, size: tuple[int, int]) -> Planes:
    """What lies in a box of an array, at another size.

    Args:
        pixels: H W C.
        box: left, top, right, bottom in the array's pixels; the filter sees what lies beyond its edges, too.
        size: (height, width) in pixels.
    """
    height, width = pixels.shape[:2]
    if size == (height, width) and box == (0, 0, width, height):
        return pixels.transpose(2, 0, 1)
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.asarray(_resized(pixels, box, size)).transpose(2, 0, 1)
    planes = pixels.transpose(2, 0, 1)
    if pixels.dtype == np.uint8:
        return np.stack([np.asarray(_resized(plane, box, size)) for plane in planes])
    found = np.stack([np.asarray(_resized(plane.astype(np.float32), box, size)) for plane in planes])
    return found if pixels.dtype == np.float32 else np.rint(found).clip(0, 65_535).astype(np.uint16)


def _resized(pixels: np.ndarray, box: Box, size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return image.resize(size[::-1], Image.Resampling.BILINEAR, box=box)
