"""What a picture's numbers are: bytes, 16-bit whole numbers, or floating point as it comes.

kind        white     a pixel in units of 1
uint8         255     v / 255
uint16      65535     v / 65535
float32         1     v: no range is stated, and none is enforced
"""

from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8, UInt16

Kind = Literal["uint8", "uint16", "float32"]
Look = tuple[tuple[int, int], int, Kind]  # (height, width), channels and kind of a picture
WHITE: dict[Kind, int] = {"uint8": 255, "uint16": 65_535, "float32": 1}

Pixels = UInt8[np.ndarray, "H W C"] | UInt16[np.ndarray, "H W C"] | Float32[np.ndarray, "H W C"]
Converted = UInt8[np.ndarray, "H W D"] | UInt16[np.ndarray, "H W D"] | Float32[np.ndarray, "H W D"]
Resampled = UInt8[np.ndarray, "h w C"] | UInt16[np.ndarray, "h w C"] | Float32[np.ndarray, "h w C"]
Planes = UInt8[np.ndarray, "C h w"] | UInt16[np.ndarray, "C h w"] | Float32[np.ndarray, "C h w"]


def top_of(kind: Kind) -> float | None:
    """The value of white; None where the numbers have no range.

    >>> top_of("uint16"), top_of("float32")
    (65535.0, None)
    """
    return None if kind == "float32" else float(WHITE[kind])


def kind_of(dtype: np.dtype) -> Kind | None:
    """The kind that an array's numbers make, of either byte order; None where they make none.

    >>> kind_of(np.dtype(">u2")), kind_of(np.dtype("float64")), kind_of(np.dtype("int32"))
    ('uint16', 'float32', None)
    """
    if dtype.kind == "f" and dtype.itemsize <= 8:
        return "float32"
    whole: dict[int, Kind] = {1: "uint8", 2: "uint16"}
    return whole.get(dtype.itemsize) if dtype.kind == "u" else None
