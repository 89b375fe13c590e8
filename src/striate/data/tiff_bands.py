"""TIFF files that Pillow has no mode for: any number of bands, of 8, 16 or 32 bits; read through tifffile.

Uncompressed or Deflate, the first page, bands interleaved or apart.  The limits hold before a pixel is unpacked: a
strip or tile that unpacks to more than its share is refused.
"""

import io
import zlib
from typing import TYPE_CHECKING

import numpy as np

from striate.data.faults import DecodeFault, Stream, brief, check_bytes, check_size, damaged
from striate.data.kinds import kind_of

if TYPE_CHECKING:  # 0.1 s to import, for a few files
    from tifffile import TiffPage

_PLAIN, _DEFLATE = 1, (8, 32_946)


def bands_layout(stream: Stream, name: str) -> tuple[np.dtype, tuple[int, int, int]]:
    """Type and H W C of the first page.

    Raises:
        DecodeFault: damaged, or no picture of our kinds and sizes.
    """
    import tifffile

    try:
        with tifffile.TiffFile(stream) as file:
            return _checked(file.pages.first, name)
    except (DecodeFault, MemoryError):
        raise
    except Exception as error:  # hostile bytes can raise nearly anything
        raise damaged(name, error, "not a picture (damaged TIFF header)") from error


def read_bands(content: bytes, name: str) -> np.ndarray:
    """The bands of the first page, H W C.

    Raises:
        DecodeFault: as `bands_layout`, or damaged pixels.
    """
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            page = file.pages.first
            dtype, shape = _checked(page, name)
            _check_segments(page, content, name)
            pixels = page.asarray(maxworkers=1)
    except (DecodeFault, MemoryError):
        raise
    except Exception as error:
        raise damaged(name, error, f"damaged ({brief(error)})") from error
    if pixels.shape == (shape[2], *shape[:2]) and page.planarconfig == 2:
        pixels = pixels.transpose(1, 2, 0)
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    if pixels.shape != shape or pixels.dtype != dtype:
        raise DecodeFault(name, "damaged", f"damaged (pixels of shape {pixels.shape})")
    return pixels


def _checked(page: "TiffPage", name: str) -> tuple[np.dtype, tuple[int, int, int]]:
    height, width, bands = page.imagelength, page.imagewidth, page.samplesperpixel
    check_size(width, height, name)
    dtype = page.dtype
    if dtype is None or kind_of(dtype) is None or page.imagedepth != 1 or page.photometric == 3:
        reason = f"TIFF with {bands} bands of {page.bitspersample} bits, format {page.sampleformat}, is not supported"
        raise DecodeFault(name, "format", f"{reason}; save 8 or 16 bits without sign, or floating point")
    if page.compression not in (_PLAIN, *_DEFLATE):
        reason = f"TIFF with {bands} bands and compression {page.compression} is not supported"
        raise DecodeFault(name, "format", f"{reason}; save it uncompressed, with Deflate, or as .npy")
    check_bytes(height * width * bands * dtype.itemsize, name)
    check_bytes(int(np.prod([int(side) for side in page.chunks], dtype=object)) * dtype.itemsize, name)
    return dtype, (height, width, bands)


def _check_segments(page: "TiffPage", content: bytes, name: str) -> None:
    """No strip or tile may unpack to more than it holds: zlib itself would go on to the end of memory."""
    assert page.dtype is not None
    share = int(np.prod(page.chunks)) * page.dtype.itemsize
    for start, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if start + count > len(content):
            raise DecodeFault(name, "truncated", "truncated")
        if page.compression == _PLAIN:
            continue
        unpacker = zlib.decompressobj()
        unpacked = len(unpacker.decompress(content[start : start + count], share + 1))
        if unpacked > share:
            raise DecodeFault(name, "too-large", "damaged: a strip that unpacks to more than its share")
