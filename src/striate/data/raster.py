"""A decoded image of any kind, and the rules that bring it to another kind and to other channels.

Kind, from row to column:

                uint8              uint16        float32
    uint8       v                  257 v         v / 255
    uint16      round(v / 257)     v             v / 65535
    float32     refused            refused       v, finite

Channels, then, in units of the kind, w its white:

    1 -> 3      repeated
    3 -> 1      (19595 R + 38470 G + 7471 B) / 65536, rounded for whole numbers: Pillow's luma
    alpha       to 1 or 3 channels: laid on white, (v a + w (w - a)) / w, rounded; to 2 or 4 channels: kept
    no alpha    to 2 or 4 channels: w, opaque; never of an array, where a lacking band is not ours to make up
    else        the counts must agree
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from striate.base.errors import DataError
from striate.data.kinds import WHITE, Converted, Kind, Pixels, kind_of

Layers = Literal["colour", "alpha", "bands"]
Side = int | float
Box = tuple[Side, Side, Side, Side]

NO_RANGE = "save it with 8 or 16 bits, or train on floating-point pictures alone, which makes the network's so too"


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """Pixels as they were stored, upright.

    Args:
        stored: H W C, or a Pillow image of mode L or RGB that nobody changes: Pillow resizes that without a copy.
        layers: "colour" is grey or RGB, opaque; "alpha" the same with its alpha behind; "bands" an array, of which
            only the number of channels is known.
        size: (height, width) of the whole image; larger than the array if it was decoded at a fraction of its size.
        box: left, top, right, bottom of the image in the array, whose last row and column may lie half outside.
    """

    stored: Pixels | Image.Image
    layers: Layers
    size: tuple[int, int]
    box: Box

    @classmethod
    def whole(cls, stored: Pixels | Image.Image, layers: Layers) -> "Raster":
        """An image at its own size."""
        height, width = size_of(stored)
        return cls(stored, layers, (height, width), (0, 0, width, height))

    @property
    def pixels(self) -> Pixels:
        """H W C."""
        return array_of(self.stored)


def size_of(stored: Pixels | Image.Image) -> tuple[int, int]:
    """(height, width) in pixels."""
    return stored.size[::-1] if isinstance(stored, Image.Image) else stored.shape[:2]


def array_of(stored: np.ndarray | Image.Image) -> Pixels:
    """Pixels H W C, of one channel where the image has no axis for them."""
    pixels = np.asarray(stored)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def array_raster(array: np.ndarray) -> Raster:
    """An array as an image.

    Args:
        array: H W or H W C, uint8, uint16, float16, float32 or float64, of either byte order.

    Raises:
        DataError: another type or shape, or numbers that are not finite in float32.
    """
    kind = kind_of(array.dtype)
    if kind is None or array.ndim not in (2, 3) or not array.size:
        got = f"{array.dtype} {array.shape}"
        fix = "convert it; a number of channels goes last: np.moveaxis(array, 0, -1)"
        raise DataError("fit", "the array", "uint8, uint16 or floating point, H W or H W C", got=got, fix=fix)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf, and is refused below
        pixels = array.astype(kind, copy=False)
    _check_finite(pixels)
    return Raster.whole(array_of(pixels), "bands")


def to_kind(pixels: Pixels, kind: Kind) -> Pixels:
    """The pixels in units of another kind.

    Raises:
        DataError: floating point where whole numbers are wanted, or numbers that are not finite.
    """
    found = pixels.dtype.name
    if found == "float32":
        if kind != found:
            must = f"{kind}, which the network's picture is: they have no stated range"
            raise DataError("fit", "floating-point pixels", must, got="float32", fix=NO_RANGE)
        _check_finite(pixels)
    if found == kind:
        return pixels
    if kind == "float32":
        return pixels.astype(np.float32) / np.float32(WHITE["uint8" if found == "uint8" else "uint16"])
    if kind == "uint16":
        return pixels.astype(np.uint16) * np.uint16(257)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def to_channels(pixels: Pixels, layers: Layers, channels: int) -> Converted:
    """The pixels with as many channels as wanted; one is left one where three are: repeat it after the resize.

    Raises:
        DataError: the count cannot be converted.
    """
    found = pixels.shape[2]
    if channels == found or (layers != "alpha" and (found, channels) == (1, 3)):
        return pixels
    if layers == "alpha" and channels in (1, 3):
        return to_channels(_on_white(pixels), "colour", channels)
    if layers != "alpha" and (found, channels) == (3, 1):
        return _luma(pixels)
    if layers != "bands" and channels in (2, 4):
        colour, alpha = (pixels[..., :-1], pixels[..., -1:]) if layers == "alpha" else (pixels, _opaque(pixels))
        colour = to_channels(colour, "colour", channels - 1)
        return np.concatenate([np.broadcast_to(colour, (*colour.shape[:2], channels - 1)), alpha], axis=2)
    fix = f"build the network with in_channels={found}, or give pictures of 1 or 3 channels to one of 1 or 3"
    raise DataError("fit", "the image", f"of {channels} channels", got=f"{found}", fix=fix)


def _check_finite(pixels: np.ndarray) -> None:
    if pixels.dtype == np.float32 and not np.isfinite(pixels).all():
        lost = int((~np.isfinite(pixels)).sum())
        raise DataError("fit", "every pixel", "a finite number", got=f"{lost} that are not", fix="mend the file")


def _opaque(pixels: Pixels) -> Converted:
    return np.full((*pixels.shape[:2], 1), WHITE[_kind(pixels)], dtype=pixels.dtype)


def _on_white(layered: Pixels) -> Converted:
    pixels, alpha = layered[..., :-1], layered[..., -1:]
    if pixels.dtype == np.float32:
        return pixels * alpha + (1 - alpha)
    # (w^2 + w / 2) fits the next wider type: the sum is never more
    w = WHITE[_kind(pixels)]
    wider = np.dtype(np.uint16 if w == 255 else np.uint32)
    a = alpha.astype(wider)
    total = pixels.astype(wider) * a + w * (w - a) + w // 2  # Python's w takes the arrays' type
    return (total // w).astype(pixels.dtype)


def _luma(pixels: Pixels) -> Converted:
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))[..., None]
    if pixels.dtype == np.uint16:
        r, g, b = (pixels[..., i, None].astype(np.uint32) for i in range(3))
        return ((19_595 * r + 38_470 * g + 7_471 * b + 32_768) >> 16).astype(np.uint16)
    weights = np.array([[19_595], [38_470], [7_471]]) / 65_536  # each exact
    return (pixels.astype(np.float64) @ weights).astype(np.float32)


def _kind(pixels: Pixels) -> Kind:
    kind = kind_of(pixels.dtype)
    assert kind is not None
    return kind
