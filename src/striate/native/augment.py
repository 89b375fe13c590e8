"""Training pictures of bytes that are only moved, made network input in one pass: `augment.cpp`, called.

Torch gathers the pictures, copies windows of them, mirrors some, converts all and normalises: each time through memory.
Here a row is read where the picture lies and written once, as it would come out of `striate.data`, to the bit.
"""

import ctypes
import math

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from striate.native.library import library

Segments = tuple[UInt8[np.ndarray, "_ H W C"], ...]


class _Call(ctypes.Structure):
    """`Windows` in augment.cpp."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("pictures", "moves", "shift", "scale", "out")),
        *((name, ctypes.c_int64) for name in ("count", "H", "W", "C", "h", "w", "p")),
        ("threads", ctypes.c_int32),
    )


def windows(
    segments: Segments,
    places: Int64[np.ndarray, "B 2"],
    moves: Int64[Tensor, "B 4"],
    *,
    size: tuple[int, int],
    border: int,
    steps: tuple[Float32[Tensor, " C"], Float32[Tensor, " C"]],
) -> Float32[Tensor, "B C u v"]:
    """Cut windows out of pictures, mirror them and normalise; needs the library.

    Args:
        segments: where pictures lie, all of one size.
        places: of each picture wanted: which segment, and which row of it.
        moves: of each: top and left of the window in pixels, which may lie beyond the picture, where all is 0; whether
            it is mirrored left to right; whether top to bottom.
        size: (h, w) of the windows in pixels.
        border: width in pixels of what is added on each side, 0 before normalising.
        steps: what is subtracted from each channel and what it is then multiplied by.

    Returns:
        As large as windows and borders, channels last in memory.
    """
    (h, w), channels = size, segments[0].shape[3]
    out = torch.empty((len(places), channels, h + 2 * border, w + 2 * border), memory_format=torch.channels_last)
    addresses, moves = _addresses(segments, places), moves.contiguous()
    shift, scale = (values.contiguous() for values in steps)
    assert len(shift) == len(scale) == channels, "one step a channel"
    call = _call(segments, addresses, moves, size, out)
    call.p, call.shift, call.scale = border, shift.data_ptr(), scale.data_ptr()
    if _functions().striate_windows(ctypes.byref(call)):
        raise MemoryError("windows: no memory for a row of each thread.\n  Fix: free some")
    return out


def moved(
    segments: Segments, places: Int64[np.ndarray, "B 2"], moves: Int64[Tensor, "B 4"], *, size: tuple[int, int]
) -> UInt8[Tensor, "B C h w"]:
    """The same windows as the bytes that they are, for whoever normalises as it reads them; arguments as there."""
    shape = (len(places), segments[0].shape[3], *size)
    out = torch.empty(shape, dtype=torch.uint8, memory_format=torch.channels_last)
    addresses, moves = _addresses(segments, places), moves.contiguous()
    _functions().striate_moved(ctypes.byref(_call(segments, addresses, moves, size, out)))
    return out


def _functions() -> ctypes.CDLL:
    found = library()
    assert found is not None, "the caller asks library() first"
    return found.functions


def _call(
    segments: Segments,
    addresses: Int64[np.ndarray, " B"],
    moves: Int64[Tensor, "B 4"],
    size: tuple[int, int],
    out: Tensor,
) -> _Call:
    """Of addresses: the caller holds on to what lies there."""
    assert len(moves) == len(addresses), "one move a picture"
    return _Call(
        pictures=addresses.ctypes.data, moves=moves.data_ptr(), out=out.data_ptr(), count=len(addresses),
        H=segments[0].shape[1], W=segments[0].shape[2], C=segments[0].shape[3], h=size[0], w=size[1],
        threads=torch.get_num_threads(),
    )  # fmt: skip


def _addresses(segments: Segments, places: Int64[np.ndarray, "B 2"]) -> Int64[np.ndarray, " B"]:
    """Where in memory each picture begins."""
    assert all(s.flags.c_contiguous and s.shape[1:] == segments[0].shape[1:] for s in segments)
    lengths, bases = np.array([(len(s), s.ctypes.data) for s in segments], dtype=np.int64).T
    segment, row = places.T
    assert ((row >= 0) & (row < lengths[segment])).all(), "a row of each segment"
    return bases[segment] + row * math.prod(segments[0].shape[1:])
