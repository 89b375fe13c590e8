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
    found = library()
    assert found is not None, "the caller asks library() first"
    count, (H, W, C), (h, w) = len(places), segments[0].shape[1:], size
    out = torch.empty((count, C, h + 2 * border, w + 2 * border), memory_format=torch.channels_last)
    addresses, moves = _addresses(segments, places), moves.contiguous()
    shift, scale = (values.contiguous() for values in steps)
    assert len(moves) == count, "one move a picture"
    assert len(shift) == len(scale) == C, "one step a channel"
    call = _Call(
        addresses.ctypes.data, moves.data_ptr(), shift.data_ptr(), scale.data_ptr(), out.data_ptr(),
        count, H, W, C, h, w, border, torch.get_num_threads(),
    )  # fmt: skip
    if found.functions.striate_windows(ctypes.byref(call)):
        raise MemoryError("windows: no memory for a row of each thread.\n  Fix: free some")
    return out


def _addresses(segments: Segments, places: Int64[np.ndarray, "B 2"]) -> Int64[np.ndarray, " B"]:
    """Where in memory each picture begins."""
    assert all(s.flags.c_contiguous and s.shape[1:] == segments[0].shape[1:] for s in segments)
    lengths, bases = np.array([(len(s), s.ctypes.data) for s in segments], dtype=np.int64).T
    segment, row = places.T
    assert ((row >= 0) & (row < lengths[segment])).all(), "a row of each segment"
    return bases[segment] + row * math.prod(segments[0].shape[1:])
