"""Arrays in NumPy's .npy format as pictures: H W or H W C, of any of our kinds.  Nothing is unpickled.

The header, at most 10,000 characters of plain Python literals, says type and shape; both are held against the limits
and against the length of the file before a pixel is looked at, and the pixels are a view of the file's bytes.
"""

import io

import numpy as np
from numpy.lib import format as numpy_format

from striate.data.faults import DecodeFault, Stream, brief, check_size
from striate.data.kinds import kind_of


def npy_layout(stream: Stream, name: str) -> tuple[np.dtype, tuple[int, ...], bool]:
    """Type, shape and whether the first axis runs fastest; the stream is left at the first pixel.

    Raises:
        DecodeFault: another version, a damaged header, or no picture of our kinds and sizes.
    """
    try:
        version = numpy_format.read_magic(stream)
        readers = {(1, 0): numpy_format.read_array_header_1_0, (2, 0): numpy_format.read_array_header_2_0}
        shape, columns_first, dtype = readers[version](stream)
    except KeyError as error:
        raise DecodeFault(name, "format", f".npy of version {brief(error)} is not supported (1 or 2)") from error
    except Exception as error:  # the header is parsed as Python, which fails in many ways; deep nesting: MemoryError
        raise DecodeFault(name, "damaged", "not an array (damaged .npy header)") from error
    if dtype.hasobject or kind_of(dtype) is None:
        reason = f"an array of {dtype}, and not of uint8, uint16 or floating point"
        raise DecodeFault(name, "pixels", reason)
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] < 1):
        raise DecodeFault(name, "pixels", f"an array of shape {shape}, and not (H, W) or (H, W, C)")
    check_size(shape[1], shape[0], name)
    return dtype, shape, columns_first


def read_npy(content: bytes, name: str) -> np.ndarray:
    """The array of a file.

    Raises:
        DecodeFault: as `npy_layout`, or fewer or more bytes than it promises.
    """
    stream = io.BytesIO(content)
    dtype, shape, columns_first = npy_layout(stream, name)
    start, count = stream.tell(), int(np.prod(shape, dtype=object))  # Python's numbers: no product is too large
    missing = start + count * dtype.itemsize - len(content)
    if missing > 0:
        raise DecodeFault(name, "truncated", "truncated")
    if missing < 0:
        raise DecodeFault(name, "damaged", f"damaged ({-missing} bytes too many)")
    flat = np.frombuffer(content, dtype, count, start)
    return flat.reshape(shape[::-1]).T if columns_first else flat.reshape(shape)
