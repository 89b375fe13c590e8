"""The picture a network looks at: every image is brought to one kind, channel count and size.

decode -> fit -> to_input is the path of training, prediction and serving alike.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from striate.base.errors import ConfigError, DataError
from striate.data.kinds import Converted, Kind, Planes
from striate.data.raster import Box, Raster, array_raster, to_channels, to_kind
from striate.data.resize import FILL, Resize, placement, resample

LARGEST = 16_384  # pixels a side, or channels: more is a mistake, or an attempt to take all memory


@dataclass(frozen=True, slots=True)
class Picture:
    """The picture that data is brought to.

    Args:
        channels: 1 grey, 2 grey and alpha, 3 red, green, blue, 4 the same and alpha; others must come as they are.
        height: in pixels, before the border.
        width: in pixels, before the border.
        pad: width in pixels of the black border that `Preprocess.to_input` adds on every side.
        kind: what its numbers are.
        resize: how an image of another size is brought to this one, see `striate.data.resize`.
    """

    channels: int
    height: int
    width: int
    pad: int = 0
    kind: Kind = "uint8"
    resize: Resize = "squash"

    def __post_init__(self) -> None:
        for what, value, least in (
            ("channels", self.channels, 1),
            ("height", self.height, 1),
            ("width", self.width, 1),
            ("pad", self.pad, 0),
        ):
            if not least <= value <= LARGEST:
                fix = "a 28x28 grey picture is Picture(1, 28, 28)"
                raise ConfigError("Picture", what, f"{least} to {LARGEST}", got=value, fix=fix)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) without the border."""
        return self.channels, self.height, self.width


def fit(image: Raster | Image.Image | np.ndarray, picture: Picture) -> Planes:
    """Bring one image to the picture: first its kind, then its channels, then its size.

    The rules stand in `striate.data.raster` and `striate.data.resize`; pixels of an image that has all three already
    are unchanged.

    Args:
        image: what `decode` gives, an array H W or H W C, or a Pillow image of mode L or RGB.
        picture: what to bring it to; its border is not added here.

    Returns:
        C h w in memory of its own, channels last, as Pillow gives them and batches hold them.

    Raises:
        DataError: the kind, the channel count or the array's type cannot be converted.
    """
    raster = _raster(image)
    place = placement(raster.size, (picture.height, picture.width), picture.resize)
    fitted = resample(_converted(raster, picture), _within(raster, place.window), place.size)
    whole = np.empty((picture.height, picture.width, picture.channels), dtype=fitted.dtype)
    (top, left), (h, w) = place.corner, place.size
    if place.size != (picture.height, picture.width):
        whole.fill(FILL)
    whole[top : top + h, left : left + w] = fitted  # one channel goes into all of them
    return whole.transpose(2, 0, 1)


def _raster(image: Raster | Image.Image | np.ndarray) -> Raster:
    if isinstance(image, Raster):
        return image
    if isinstance(image, np.ndarray):
        return array_raster(image)
    if image.mode not in ("L", "RGB"):
        fix = "decode it with striate.data.decode.decode"
        raise DataError("fit", "the image", "of mode L or RGB", got=image.mode, fix=fix)
    return Raster.whole(image, "colour")


def _converted(raster: Raster, picture: Picture) -> Converted | Image.Image:
    """Pixels of the picture's kind and channels, a single channel for three apart; Pillow's image where it is both."""
    stored = raster.stored
    if isinstance(stored, Image.Image) and picture.kind == "uint8" and picture.channels in (len(stored.getbands()), 3):
        return stored
    return to_channels(to_kind(raster.pixels, picture.kind), raster.layers, picture.channels)


def _within(raster: Raster, window: Box) -> Box:
    """A window in the image's own pixels, in those of the array that it was decoded to."""
    (height, width), (left, top, right, bottom) = raster.size, raster.box
    across, down = (right - left) / width, (bottom - top) / height
    l, t, r, b = window  # noqa: E741 - the four sides
    return left + l * across, top + t * down, min(left + r * across, right), min(top + b * down, bottom)
