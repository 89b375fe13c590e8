"""The one place where pictures are decoded: a file or bytes -> a Pillow picture, "L" (grey) or "RGB".

The rules, the same for training, prediction and serving:

- the format goes by content, never by name; of an animated or many-paged file, the first frame;
- the EXIF orientation is applied (an unreadable EXIF block counts as none); a colour profile is not;
- 1-bit and 8-bit grey -> L; 16-bit grey v -> round(v / 257), so that 65535 becomes 255 -> L;
- palette, CMYK, YCbCr, LAB, HSV -> RGB as Pillow converts them (of 16-bit colour it keeps the high byte);
- transparency, as a channel or as a colour of the palette, is laid on white:
  round((v alpha + 255 (255 - alpha)) / 255), grey -> L, colour -> RGB;
- floating-point pixels have no stated range and are refused.

Limits hold before any pixel is decoded, so a small file that unpacks to a huge picture costs nothing.
Everything that goes wrong is a `DecodeFault`: no pixel is made up.
"""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from striate.data.formats import SNIFF_BYTES, SUPPORTED, format_of

MAX_PIXELS = 64_000_000
MAX_SIDE = 32_768  # pixels
MAX_BYTES = 256 * 2**20

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
assert tuple(_READERS) == SUPPORTED

_GREY = ("1", "L", "LA", "La", "I")
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
_TRANSPOSED = (5, 6, 7, 8)  # EXIF orientations that swap width and height


@dataclass(frozen=True, slots=True)
class Fault:
    """A file that is not a picture we can take.

    Args:
        path: the file, as the caller named it.
        kind: a short word for programs: missing, permission, not-a-file, empty, format, not-a-picture, truncated,
            damaged, too-large, pixels.
        reason: a short text for people.
    """

    path: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class DecodeFault(Exception):  # noqa: N818 - the project's word for what `Fault` lists
    """A picture that cannot be decoded; `fault` holds the path, the kind and the reason."""

    def __init__(self, path: str, kind: str, reason: str) -> None:
        self.fault = Fault(path, kind, reason)
        self.path, self.kind, self.reason = path, kind, reason
        super().__init__(str(self.fault))

    def __reduce__(self) -> tuple[type["DecodeFault"], tuple[str, str, str]]:
        return DecodeFault, (self.path, self.kind, self.reason)


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its picture before decoding: format, whether it is grey, (height, width) as shown."""

    format: str
    grey: bool
    size: tuple[int, int]


def decode(source: Path | bytes, name: str | None = None) -> Image.Image:
    """Decode one picture by the rules at the top of this file.

    Args:
        source: a file, or the bytes of one.
        name: what to call it in a fault; the path where there is one.

    Returns:
        A picture of mode "L" or "RGB", upright, independent of the file.

    Raises:
        DecodeFault: for whatever reason there is no such picture.
    """
    name = name if name is not None else str(source) if isinstance(source, Path) else "picture"
    content = read_file(source, name) if isinstance(source, Path) else source
    return unpack(parse(io.BytesIO(content), name), name)


def unpack(image: ImageFile.ImageFile, name: str) -> Image.Image:
    """Decode the pixels of a picture of which `parse` has read the header.

    Raises:
        DecodeFault: as `decode`.
    """
    try:
        image.load()
        return as_grey_or_rgb(image, name)
    except (DecodeFault, MemoryError):
        raise
    except Exception as error:  # hostile bytes can raise nearly anything inside a decoder
        raise _damaged(name, error, f"damaged ({_brief(error)})") from error


def read_file(path: Path, name: str | None = None) -> bytes:
    """The bytes of a regular file of at most MAX_BYTES; devices, fifos and folders are never opened.

    Raises:
        DecodeFault: missing, permission, not-a-file, too-large.
    """
    with _opened(path, name if name is not None else str(path)) as file:
        return file.read()


def header(path: Path, name: str | None = None) -> Header:
    """Read what the picture's header says; no pixel is decoded.

    Raises:
        DecodeFault: as `decode`, as far as the header shows it.
    """
    name = name if name is not None else str(path)
    with _opened(path, name) as file:
        image = parse(file, name)
        return Header(str(image.format), image.mode in _GREY + _SIXTEEN_BIT, _shown_size(image))


@contextmanager
def _opened(path: Path, name: str) -> Iterator[io.BufferedReader]:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise DecodeFault(name, "not-a-file", f"not a regular file ({_kind_of_file(status.st_mode)})")
        if status.st_size > MAX_BYTES:
            raise DecodeFault(name, "too-large", f"too large: {_mib(status.st_size)} MiB, limit {_mib(MAX_BYTES)}")
        with path.open("rb") as file:
            yield file
    except PermissionError as error:
        raise DecodeFault(name, "permission", "no permission") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DecodeFault(name, "missing", "no such file") from error
    except OSError as error:
        raise DecodeFault(name, "damaged", f"cannot be read ({_brief(error)})") from error


def parse(stream: io.BytesIO | io.BufferedReader, name: str) -> ImageFile.ImageFile:
    """Read the header and hold it against the limits; no pixel is decoded.

    Raises:
        DecodeFault: as `decode`, as far as the header shows it.
    """
    length = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(SNIFF_BYTES)
    stream.seek(0)
    if not head:
        raise DecodeFault(name, "empty", "empty file")
    if length > MAX_BYTES:
        raise DecodeFault(name, "too-large", f"too large: {_mib(length)} MiB, limit {_mib(MAX_BYTES)}")
    found = format_of(head)
    if found is None:
        raise DecodeFault(name, "not-a-picture", f"not a picture (its bytes begin with {head[:8]!r})")
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
        raise _damaged(name, error, f"not a picture (damaged {found} header)") from error
    _check_size(image.width, image.height, name)
    return image


def _shown_size(image: ImageFile.ImageFile) -> tuple[int, int]:
    """(height, width) after the orientation, as far as that stands before the pixels."""
    # Pillow turns a TIFF's size itself, and would decode a PNG to find an orientation behind its pixels.
    known = image.format == "JPEG" or (image.format in ("PNG", "WEBP") and "exif" in image.info)
    try:
        turned = known and image.getexif().get(ExifTags.Base.Orientation) in _TRANSPOSED
    except Exception:  # an unreadable block counts as none, as in `_upright`
        turned = False
    return (image.width, image.height) if turned else (image.height, image.width)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # an EXIF block that cannot be read says nothing about orientation
        return image.copy()


def _check_size(width: int, height: int, name: str) -> None:
    if width < 1 or height < 1:
        raise DecodeFault(name, "damaged", f"damaged: {width}x{height} pixels")
    if max(width, height) > MAX_SIDE:
        raise DecodeFault(name, "too-large", f"too large: {width}x{height} pixels, limit {MAX_SIDE} a side")
    if width * height > MAX_PIXELS:
        megapixels = round(width * height / 1e6)
        raise DecodeFault(name, "too-large", f"too large: {megapixels} Mpixel, limit {MAX_PIXELS // 1_000_000}")


def as_grey_or_rgb(image: Image.Image, name: str) -> Image.Image:
    """A loaded picture of any mode, upright and of mode "L" or "RGB", by the rules at the top of this file.

    Raises:
        DecodeFault: its pixels have no stated range.
    """
    image = _upright(image)
    if image.mode in _SIXTEEN_BIT or image.mode == "I":
        return _from_16_bit(image, name)
    if image.mode == "F":
        raise DecodeFault(name, "pixels", "floating-point pixels have no stated range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        return _on_white(image)
    target = "L" if image.mode in _GREY else "RGB"
    return image if image.mode == target else image.convert(target)


def _from_16_bit(image: Image.Image, name: str) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65_535:
        raise DecodeFault(name, "pixels", f"grey values {low} to {high} do not fit 16 bits (0 to 65535)")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        values[values == transparent] = 65_535  # that grey lies on white
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    grey = image.mode in _GREY
    layered = image.convert("LA" if grey else "RGBA")
    mode = "L" if grey else "RGB"
    white = Image.new(mode, image.size, 255 if grey else (255, 255, 255))
    white.paste(layered.convert(mode), mask=layered.getchannel("A"))
    return white


def _damaged(name: str, error: Exception, reason: str) -> DecodeFault:
    if "truncated" in str(error).lower() or isinstance(error, EOFError):
        return DecodeFault(name, "truncated", "truncated")
    return DecodeFault(name, "damaged", reason)


def _brief(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:200]


def _kind_of_file(mode: int) -> str:
    tests = {"folder": stat.S_ISDIR, "fifo": stat.S_ISFIFO, "socket": stat.S_ISSOCK}
    return next((kind for kind, test in tests.items() if test(mode)), "device")


def _mib(count: int) -> int:
    return round(count / 2**20)
