"""The one place where pictures are decoded: a file or bytes -> pixels of the kind and channels that they hold.

The rules, the same for training, prediction and serving:

- the format goes by content, never by name; of an animated or many-paged file, the first frame;
- the EXIF orientation is applied (an unreadable EXIF block counts as none); a colour profile is not;
- 1-bit and 8-bit grey -> grey; palette, CMYK, YCbCr, LAB, HSV -> RGB as Pillow converts them;
- transparency, as a channel or as a colour of the palette, is kept as alpha: `striate.data.raster` says what of it;
- 16 bits, grey or colour, are kept whole (16-bit colour of PPM comes with 8 bits from Pillow); floating point as it is;
- .npy files and TIFFs that Pillow has no mode for are arrays of as many bands as they hold.

A JPEG that is to become a far smaller picture is decoded at 1/2, 1/4 or 1/8 of its size, the least that is still twice
the size which the resize makes of it: libjpeg then leaves most of the arithmetic out.

Limits hold before any pixel is decoded, so a small file that unpacks to a huge picture costs nothing.
Everything that goes wrong is a `DecodeFault`: no pixel is made up.
"""

import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from striate.base.errors import DataError
from striate.data.faults import (
    MAX_PIXELS,
    DecodeFault,
    Fault,
    Stream,
    brief,
    check_bytes,
    check_size,
    damaged,
    opened,
    read_file,
)
from striate.data.formats import SNIFF_BYTES, SUPPORTED, format_of
from striate.data.kinds import Kind, Planes, kind_of
from striate.data.npy import npy_layout, read_npy
from striate.data.picture import Picture, fit
from striate.data.raster import Box, Layers, Raster, array_of, array_raster, size_of
from striate.data.resize import placement
from striate.data.tiff_bands import bands_layout, read_bands

__all__ = ["DecodeFault", "Fault", "Header", "decode", "decoded", "header", "pillow_raster", "read_file"]

# Named one by one, and not through Image.open: that one warns or raises by Pillow's global switch before we can look.
_READERS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,  # of a multi-picture file it reads the first picture
    "PNG": PngImagePlugin.PngImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
}
assert (*_READERS, "NPY") == SUPPORTED

_GREY = ("1", "L", "LA", "La", "I", "F")
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N", "I")
# Pillow has no mode for 16-bit colour: it keeps the high byte of each number, found by the file's byte order.  Told
# the other order, it keeps the low byte.
_OPPOSITE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_OTHER_BYTE = {f"{m};16{a}": f"{m};16{b}" for m in ("RGB", "RGBA", "RGBX") for a, b in _OPPOSITE.items()}
_GREY_ALPHA = "LA;16B"  # four bytes a pixel: read as such, nothing is lost
_TRANSPOSED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_FROM_RIGHT, _FROM_BELOW = (2, 3, 6, 7), (3, 4, 7, 8)  # those whose stored left, or top, comes to lie right, or below


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its picture before decoding.

    Args:
        format: as `striate.data.formats` calls it.
        channels: 1 grey, 3 colour, alpha not counted; of an array, its bands.
        kind: what its numbers are.
        size: (height, width) as shown.
    """

    format: str
    channels: int
    kind: Kind
    size: tuple[int, int]


def decoded(content: bytes | np.ndarray | Raster, picture: Picture, name: str = "picture") -> Planes:
    """From what a sample holds to the picture: the one way of training, evaluation, prediction and serving.

    Args:
        content: the bytes of a file, an array H W or H W C, or what was decoded already.
        picture: what it is brought to.
        name: what to call it in a fault.

    Returns:
        C h w, of the picture's kind.

    Raises:
        DecodeFault: there is no such picture, or it cannot be brought to this one.
    """
    try:
        return fit(decode(content, name, picture) if isinstance(content, bytes) else content, picture)
    except DataError as error:
        raise DecodeFault(name, "pixels", f"{error.what} must be {error.must}, got {error.got}; {error.fix}") from error


def decode(source: Path | bytes, name: str | None = None, picture: Picture | None = None) -> Raster:
    """Decode one picture by the rules at the top of this file.

    Args:
        source: a file, or the bytes of one.
        name: what to call it in a fault; the path where there is one.
        picture: what it is to be brought to; None decodes it whole.

    Returns:
        Its pixels, upright.

    Raises:
        DecodeFault: for whatever reason there is no such picture.
    """
    name = name if name is not None else str(source) if isinstance(source, Path) else "picture"
    content = read_file(source, name) if isinstance(source, Path) else source
    return unpack(parse(io.BytesIO(content), name), content, name, picture)


def unpack(found: ImageFile.ImageFile | str, content: bytes, name: str, picture: Picture | None = None) -> Raster:
    """Decode the pixels of a file of which `parse` has read the header.

    Raises:
        DecodeFault: as `decode`.
    """
    try:
        if not isinstance(found, ImageFile.ImageFile):
            return array_raster(read_npy(content, name) if found == "NPY" else read_bands(content, name))
        return _load(found, content, picture, name)
    except (DecodeFault, MemoryError):
        raise
    except DataError as error:
        raise DecodeFault(name, "pixels", f"{error.what} must be {error.must}, got {error.got}") from error
    except Exception as error:  # hostile bytes can raise nearly anything inside a decoder
        raise damaged(name, error, f"damaged ({brief(error)})") from error


def header(source: Path | bytes, name: str | None = None) -> Header:
    """Read what the picture's header says; no pixel is decoded.  The arguments are those of `decode`.

    Raises:
        DecodeFault: as `decode`, as far as the header shows it.
    """
    name = name if name is not None else str(source) if isinstance(source, Path) else "picture"
    with opened(source, name) if isinstance(source, Path) else io.BytesIO(source) as file:
        return header_of(parse(file, name), file, name)


def header_of(image: ImageFile.ImageFile | str, stream: Stream, name: str) -> Header:
    """What `parse` found, in our words; before the pixels are loaded.

    Raises:
        DecodeFault: as `decode`, as far as the header shows it.
    """
    if isinstance(image, ImageFile.ImageFile):
        return Header(str(image.format), 1 if _is_grey(image) else 3, _stored_kind(image), _shown_size(image))
    stream.seek(0)
    dtype, shape = npy_layout(stream, name)[:2] if image == "NPY" else bands_layout(stream, name)
    kind = kind_of(dtype)
    assert kind is not None
    return Header(image, shape[2] if len(shape) == 3 else 1, kind, (shape[0], shape[1]))


def pillow_raster(image: Image.Image, name: str = "picture") -> Raster:
    """A Pillow image of any mode, upright, by the rules at the top of this file, as far as Pillow's modes go.

    Raises:
        DecodeFault: grey values that do not fit 16 bits.
    """
    image.load()
    stored, layers = _pixels(image, name)
    return _upright(image, array_of(stored), layers, None)  # a copy: the image is the caller's


def parse(stream: Stream, name: str) -> ImageFile.ImageFile | str:
    """Read the header and hold it against the limits; the format alone, where Pillow cannot read it but we can.

    Raises:
        DecodeFault: as `decode`, as far as the header shows it.
    """
    length = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(SNIFF_BYTES)
    stream.seek(0)
    if not head:
        raise DecodeFault(name, "empty", "empty file")
    check_bytes(length, name)
    found = format_of(head)
    if found is None:
        raise DecodeFault(name, "not-a-picture", f"not a picture (its bytes begin with {head[:8]!r})")
    if found == "NPY":
        return found
    if found not in _READERS:
        raise DecodeFault(name, "format", f"format {found} is not supported ({', '.join(SUPPORTED)})")
    if found == "WEBP" and int.from_bytes(head[4:8], "little") + 8 > length:
        raise DecodeFault(name, "truncated", "truncated")  # its decoder would only say that it failed
    try:
        image = _READERS[found](stream)
    except Image.DecompressionBombError as error:  # WebP, which allocates as it opens
        raise DecodeFault(name, "too-large", f"too large: far over {MAX_PIXELS // 1_000_000} Mpixel") from error
    except MemoryError:
        raise
    except Exception as error:
        if found == "TIFF":  # one that Pillow has no mode for, or a damaged one: tifffile will tell
            return found
        raise damaged(name, error, f"not a picture (damaged {found} header)") from error
    check_size(image.width, image.height, name)
    return found if _misses_bands(image) else image


def _misses_bands(image: ImageFile.ImageFile) -> bool:
    """Whether a TIFF holds more than Pillow would give: bands beyond its mode's, or deep ones, each in its plane."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    samples, planar = image.tag_v2.get(277, 1), image.tag_v2.get(284, 1) == 2
    if image.mode in ("P", "PA", "CMYK", "1") or samples == 1:
        return False
    return samples > len(image.getbands()) or (planar and max(image.tag_v2.get(258, (1,))) > 8)


def _load(image: ImageFile.ImageFile, content: bytes, picture: Picture | None, name: str) -> Raster:
    size, box, raw = _shown_size(image), None, _raw_mode(image)
    stored: np.ndarray | Image.Image
    layers: Layers
    if picture is not None and isinstance(image, JpegImagePlugin.JpegImageFile):
        box = _draft(image, size, picture)
    if raw == _GREY_ALPHA:
        _read_as(image, "RGBA")
    image.load()
    if raw == _GREY_ALPHA:
        fine = np.asarray(image).astype(np.uint16)
        stored, layers = fine[..., 0::2] << 8 | fine[..., 1::2], "alpha"
    elif raw in _OTHER_BYTE:
        stored, layers = _sixteen_bit_colour(image, content, _OTHER_BYTE[raw])
    else:
        stored, layers = _pixels(image, name)
    raster = _upright(image, stored, layers, box)
    return raster if box is None else Raster(raster.stored, layers, size, raster.box)


def _draft(image: JpegImagePlugin.JpegImageFile, size: tuple[int, int], picture: Picture) -> Box | None:
    """Choose the fraction to decode at; the part of the decoded array that is the image, None where it is all."""
    rows, columns = placement(size, (picture.height, picture.width), picture.resize).scaled
    wanted = (2 * columns, 2 * rows)
    chosen = image.draft(None, wanted if size == (image.height, image.width) else wanted[::-1])
    return None if chosen is None else chosen[1]


def _is_grey(image: ImageFile.ImageFile) -> bool:
    return image.mode in (*_GREY, *_SIXTEEN_BIT) or _raw_mode(image) == _GREY_ALPHA


def _stored_kind(image: ImageFile.ImageFile) -> Kind:
    if image.mode == "F":
        return "float32"
    deep = image.mode in _SIXTEEN_BIT or _raw_mode(image) in (_GREY_ALPHA, *_OTHER_BYTE)
    return "uint16" if deep else "uint8"


def _raw_mode(image: ImageFile.ImageFile) -> str | None:
    """How the file packs its pixels, in Pillow's words."""
    arguments = image.tile[0].args if image.tile else None
    found = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return found if isinstance(found, str) else None


def _read_as(image: ImageFile.ImageFile, raw: str) -> None:
    """Have a file, not loaded yet, read as if its pixels were packed in another way of the same length."""
    image.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in image.tile
    ]


def _sixteen_bit_colour(high: ImageFile.ImageFile, content: bytes, raw: str) -> tuple[np.ndarray, Layers]:
    """High bytes as loaded, low bytes from the same file read in the other order."""
    low = _READERS[str(high.format)](io.BytesIO(content))
    _read_as(low, raw)
    low.load()
    pixels = np.asarray(high).astype(np.uint16) << 8 | np.asarray(low)
    clear = high.info.get("transparency")
    if pixels.shape[2] == 3 and isinstance(clear, tuple):
        alpha = np.where((pixels == np.array(clear)).all(2, keepdims=True), 0, 65_535).astype(np.uint16)
        return np.concatenate([pixels, alpha], axis=2), "alpha"
    return pixels, "alpha" if pixels.shape[2] == 4 else "colour"


def _pixels(image: Image.Image, name: str) -> tuple[np.ndarray | Image.Image, Layers]:
    """A loaded image as it was stored, H W C or itself, and what the channels are."""
    if image.mode in _SIXTEEN_BIT:
        return _sixteen_bit_grey(image, name)
    if image.mode == "F":
        return np.asarray(image)[..., None], "colour"
    grey = image.mode in _GREY
    if image.has_transparency_data:
        return np.asarray(image.convert("LA" if grey else "RGBA")), "alpha"
    target = "L" if grey else "RGB"
    return (image if image.mode == target else image.convert(target)), "colour"


def _sixteen_bit_grey(image: Image.Image, name: str) -> tuple[np.ndarray, Layers]:
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65_535:
        raise DecodeFault(name, "pixels", f"grey values {low} to {high} do not fit 16 bits (0 to 65535)")
    pixels = values.astype(np.uint16)[..., None]
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        alpha = np.where(pixels == clear, 0, 65_535).astype(np.uint16)
        return np.concatenate([pixels, alpha], axis=2), "alpha"
    return pixels, "colour"


def _shown_size(image: ImageFile.ImageFile) -> tuple[int, int]:
    """(height, width) after the orientation, as far as that stands before the pixels."""
    # Pillow turns a TIFF's size itself, and would decode a PNG to find an orientation behind its pixels.
    known = image.format == "JPEG" or (image.format in ("PNG", "WEBP") and "exif" in image.info)
    turned = known and _orientation(image) in _TRANSPOSED
    return (image.width, image.height) if turned else (image.height, image.width)


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except MemoryError:
        raise
    except Exception:  # an EXIF block that cannot be read says nothing about orientation
        return 1


def _upright(image: Image.Image, stored: np.ndarray | Image.Image, layers: Layers, box: Box | None) -> Raster:
    """Turn what was stored, and the box of the image in it, as the EXIF orientation says."""
    turn = _orientation(image)
    if turn in (*_FROM_RIGHT, *_FROM_BELOW, *_TRANSPOSED):
        pixels = array_of(stored)
        if turn in _TRANSPOSED:
            pixels = pixels.transpose(1, 0, 2)
        stored = pixels[:: -1 if turn in _FROM_BELOW else 1, :: -1 if turn in _FROM_RIGHT else 1]
    if box is None:
        return Raster.whole(stored, layers)
    height, width = size_of(stored)
    across, down = box[2:] if turn not in _TRANSPOSED else box[:1:-1]
    left, top = width - across if turn in _FROM_RIGHT else 0, height - down if turn in _FROM_BELOW else 0
    return Raster(stored, layers, (height, width), (left, top, left + across, top + down))
