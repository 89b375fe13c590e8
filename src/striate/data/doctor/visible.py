"""Pixels of any kind as bytes that a person can look at; nothing is measured on them but likeness."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from striate.data.decode import decode
from striate.data.items import Content
from striate.data.kinds import Pixels
from striate.data.raster import Raster, array_raster, to_channels, to_kind

Bytes = UInt8[np.ndarray, "H W D"]


def raster_of(content: Content, name: str) -> Raster:
    """What a sample holds, decoded whole.

    Raises:
        DecodeFault: it cannot be read.
        DataError: an array that is no picture.
    """
    if isinstance(content, Raster):
        return content
    return decode(content, name) if isinstance(content, bytes) else array_raster(content)


def seen(raster: Raster) -> Pixels:
    """What a network sees of it: transparency laid on white, else as it is."""
    pixels = raster.pixels
    return to_channels(pixels, "alpha", pixels.shape[2] - 1) if raster.layers == "alpha" else pixels


def visible(pixels: Pixels) -> Bytes:
    """One or three channels of bytes; of other counts the first, of floating point from its least to its greatest."""
    chosen = pixels if pixels.shape[2] == 3 else pixels[..., :1]
    if chosen.dtype != np.float32:
        return to_kind(chosen, "uint8")
    low, high = float(chosen.min()), float(chosen.max())
    return ((chosen - low) * (255 / max(high - low, 1e-30)) + 0.5).clip(0, 255).astype(np.uint8)


def as_image(pixels: Pixels) -> Image.Image:
    """The same as a Pillow image of mode L or RGB."""
    told = np.ascontiguousarray(visible(pixels))
    return Image.fromarray(told if told.shape[2] == 3 else told[..., 0])
