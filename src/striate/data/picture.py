"""The picture a network looks at: every image is brought to one size and channel count, in whole bytes.

decode -> fit -> to_input is the path of training, prediction and serving alike.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from striate.base.errors import ConfigError, DataError

Planes = UInt8[np.ndarray, "C H W"]
Converted = UInt8[np.ndarray, "D H W"]
Resized = UInt8[np.ndarray, "C h w"]

LARGEST = 16_384  # pixels a side, or channels: more is a mistake, or an attempt to take all memory


@dataclass(frozen=True, slots=True)
class Picture:
    """The uint8 picture that data is brought to.

    Args:
        channels: 1 grey, 3 red, green, blue; other counts are taken as they come.
        height: in pixels, before the border.
        width: in pixels, before the border.
        pad: width in pixels of the black border that `Preprocess.to_input` adds on every side.
    """

    channels: int
    height: int
    width: int
    pad: int = 0
    kind: str = "uint8"

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
        """(channels, height, width) of the uint8 picture, without the border."""
        return self.channels, self.height, self.width


def fit(image: Image.Image | UInt8[np.ndarray, "..."], picture: Picture) -> Resized:
    """Bring one image to the picture: channels first, then the size.

    Grey becomes RGB by repetition, RGB becomes grey by Pillow's luma, (19595 R + 38470 G + 7471 B + 32768) / 65536,
    other counts must agree.  The size changes by Pillow's antialiased bilinear filter, each channel for itself;
    bytes of an image that has the size already are unchanged.

    Args:
        image: a Pillow image of mode L or RGB, or uint8 H W or H W C.
        picture: what to bring it to; its border is not added here.

    Raises:
        DataError: the channel count cannot be converted.
    """
    if isinstance(image, Image.Image) and image.mode not in ("L", "RGB"):
        fix = "decode it with striate.data.decode.decode"
        raise DataError("fit", "the image", "of mode L or RGB", got=image.mode, fix=fix)
    pixels = np.asarray(image)
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    planes = _resize(_to_channels(planes, picture.channels), picture.height, picture.width)
    if len(planes) < picture.channels:
        planes = np.repeat(planes, picture.channels, axis=0)
    return np.ascontiguousarray(planes)


def _to_channels(planes: Planes, channels: int) -> Converted:
    """Grey stays one plane even where three are wanted: it is cheaper to repeat after the resize."""
    found = len(planes)
    if found == channels or (found == 1 and channels == 3):
        return planes
    if found == 3 and channels == 1:
        return np.asarray(_colour(planes).convert("L"))[None]
    fix = f"build the network with in_channels={found}, or give pictures of 1 or 3 channels to one of 1 or 3"
    raise DataError("fit", "the image", f"of {channels} channels", got=f"{found}", fix=fix)


def _resize(planes: Planes, height: int, width: int) -> Resized:
    if planes.shape[1:] == (height, width):
        return planes
    size = (width, height)
    if len(planes) == 3:
        return np.asarray(_colour(planes).resize(size, Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    images = (Image.fromarray(np.ascontiguousarray(plane)) for plane in planes)
    return np.stack([np.asarray(image.resize(size, Image.Resampling.BILINEAR)) for image in images])


def _colour(planes: Planes) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))
