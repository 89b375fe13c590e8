"""Local response normalisation in one pass forward and one backward: `local_response_norm.cpp`, called.

Torch's own reads and writes memory some ten times, the calculus oftener.  Here only x is read, and dL/dy; whatever lies
between stays in a core's cache.  Each number is computed in float32 in a way that does not depend on the number of
threads, nor on where in the batch it is.
"""

import ctypes

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from striate.native.library import library

KINDS = {torch.float32: 0, torch.bfloat16: 1}


class _Call(ctypes.Structure):
    """`Norm` in local_response_norm.cpp."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("x", "dy", "out")),
        *((name, ctypes.c_int64) for name in ("outer", "channels", "inner", "below", "above")),
        *((name, ctypes.c_float) for name in ("alpha", "beta", "k")),
        *((name, ctypes.c_int32) for name in ("halves", "threads")),
    )


def local_response_norm(
    x: Float[Tensor, "B C *spatial"], size: int, *, alpha: float, beta: float, k: float
) -> Float[Tensor, "B C *spatial"]:
    """As `calculus.local_response_norm`, of an x of which `takes` holds, in the layout of x."""
    return _run(x, None, (size, alpha, beta, k))


def local_response_norm_pullback(
    dy: Float[Tensor, "B C *spatial"],
    x: Float[Tensor, "B C *spatial"],
    size: int,
    *,
    alpha: float,
    beta: float,
    k: float,
) -> Float[Tensor, "B C *spatial"]:
    """dL/dx from dL/dy, which may lie in memory as it likes."""
    if dy.stride() != x.stride():
        dy = torch.empty_like(x).copy_(dy)
    return _run(x, dy, (size, alpha, beta, k))


def _run(x: Tensor, dy: Tensor | None, options: tuple[int, float, float, float]) -> Tensor:
    out = torch.empty_like(x)
    if not x.numel():
        return out
    size, alpha, beta, k = options
    channels, most = x.shape[1], x.shape[1] - 1  # neighbours beyond `most` there are none, whatever the size
    last = not x.is_contiguous()
    call = _Call(
        x.data_ptr(), None if dy is None else dy.data_ptr(), out.data_ptr(),
        x.numel() // channels if last else x.shape[0], channels, 1 if last else x.shape[2:].numel(),
        min(size // 2, most), min((size - 1) // 2, most), alpha, beta, k, KINDS[x.dtype], torch.get_num_threads(),
    )  # fmt: skip
    found = library()
    assert found is not None, "takes() was not asked"
    if found.functions.striate_local_response_norm(ctypes.byref(call)):
        raise MemoryError("LocalResponseNorm: no memory for the buffers of the threads.\n  Fix: a smaller batch")
    return out


def takes(x: Tensor) -> bool:
    """Whether there is a library and x is numbers in this machine's memory that it can read.

    That is: a plain tensor of float32 or bfloat16 on the CPU, dense, with channels behind or before the places; and
    nobody is recording torch's operations, who would miss this one.
    """
    return (
        x.dtype in KINDS
        and x.device.type == "cpu"
        and type(x) in (Tensor, nn.Parameter)
        and (x.is_contiguous() or x.movedim(1, -1).is_contiguous())
        and not is_in_torch_dispatch_mode()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        and library() is not None
    )
