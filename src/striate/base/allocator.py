"""The C library's allocator told to keep the memory of tensors that are let go of.

glibc gives every large block back to the system and asks for it anew, and each page of it is then faulted in again; a
training step lets go of the very blocks that the next one needs.  The price: a process stays as large as it once was.
Elsewhere than on glibc nothing is done.

`mallopt(3)`, of the Linux manual: M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD.
"""

import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
NEVER = 2**31 - 1  # bytes free at the end of the heap before some of it is given back
AT_ONCE = 64 << 20  # bytes that are asked for beyond what is needed
USUAL = {M_MMAP_MAX: 65536, M_TRIM_THRESHOLD: 128 << 10, M_TOP_PAD: 128 << 10}  # glibc's own


def keep_memory() -> bool:
    """Let this process keep its memory from now on; whether the C library could be told."""
    return _tell({M_MMAP_MAX: 0, M_TRIM_THRESHOLD: NEVER, M_TOP_PAD: AT_ONCE})


def give_back_memory() -> bool:
    """Undo `keep_memory`, for what is let go of from now on; whether the C library could be told."""
    return _tell(USUAL)


def _tell(settings: dict[int, int]) -> bool:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return min(mallopt(name, value) for name, value in settings.items()) == 1  # all are told, whatever the first says
