"""Masks: a class number at every pixel, from an indexed or a grey PNG."""

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt16
from PIL import ImageFile, ImageOps

from striate.data.decode import parse
from striate.data.faults import DecodeFault, brief, damaged, read_file

_MODES = ("1", "P", "L", "I", "I;16", "I;16B", "I;16L", "I;16N")


def class_numbers(path: Path, name: str | None = None) -> UInt16[np.ndarray, "H W"]:
    """The numbers that a mask holds: positions in the palette of an indexed PNG, or the grey values of a grey one.

    Raises:
        DecodeFault: no such picture; not a PNG, which alone keeps every number; or one of colours.
    """
    name = name if name is not None else str(path)
    image = parse(io.BytesIO(read_file(path, name)), name)
    if not isinstance(image, ImageFile.ImageFile) or image.format != "PNG":
        found = image.format if isinstance(image, ImageFile.ImageFile) else image
        raise DecodeFault(name, "format", f"a mask must be PNG, which keeps every number, not {found}")
    if image.mode not in _MODES:
        raise DecodeFault(name, "pixels", f"a mask must be indexed or grey, not of mode {image.mode}")
    try:
        image.load()
        return np.asarray(ImageOps.exif_transpose(image)).astype(np.uint16)
    except MemoryError:
        raise
    except Exception as error:  # hostile bytes can raise nearly anything inside a decoder
        raise damaged(name, error, f"damaged ({brief(error)})") from error
