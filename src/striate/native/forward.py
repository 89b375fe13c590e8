"""The native engine's evaluation by itself: decoded pictures to logits or probabilities, in one call.

It has no memory for training, and little to do before the arithmetic begins: one picture of LeNet-5 takes some ten
microseconds.  Whatever the size of the batch and the place in it, a picture comes to the same bits.
"""

import ctypes
from dataclasses import replace
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from striate.base.errors import ResourceError
from striate.base.network import Network
from striate.base.operations import Dropout
from striate.native.library import Library
from striate.native.pixels import Pixels
from striate.native.program import Tensors, program
from striate.native.stages import Fused, fuse, volume

KINDS = {torch.uint8: 0, torch.uint16: 1, torch.float32: 2}
Strides = ctypes.c_int64 * 4


class _Front(ctypes.Structure):
    """`Front` in forward.cpp."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("channels", "height", "width", "pad")),
        ("shift", ctypes.POINTER(ctypes.c_float)),
        ("scale", ctypes.POINTER(ctypes.c_float)),
    )


class Forward:
    """A network of this description, in evaluation, with the numbers that these tensors have now.

    Several threads may call it at once, but not while one refreshes it.

    Args:
        library: with the kernels.
        network: its description; `fuse` refuses what the engine does not have.
        tensors: parameters and buffers by the description's names, contiguous float32.
        pixels: how pictures become the network's input; None: they are its input.
        threads: that share a batch where it is worth it; no number depends on them.

    Raises:
        ConfigError: an operation that the engine does not have.
        ResourceError: not enough memory.
    """

    def __init__(
        self, library: Library, network: Network, tensors: Tensors, *, pixels: Pixels | None, threads: int
    ) -> None:
        self._kept = dict(tensors)  # `refresh` reads them again
        self._stages = program(evaluated(network), tensors, {})
        self._library = _functions(library)
        self._forward = None
        channels, height, width = volume(network.input_shape)
        given = pixels or Pixels(pad=0, shift=(0.0,) * channels, scale=(1.0,) * channels)
        assert len(given.shift) == len(given.scale) == channels
        self._shape = [channels, height - 2 * given.pad, width - 2 * given.pad]
        self._output_shape = network.output_shape
        self._outputs, self._is_row = prod(network.output_shape), len(network.output_shape) == 1
        self._usual = Strides(prod(self._shape), prod(self._shape[1:]), self._shape[2], 1)
        many = ctypes.c_float * channels
        front = _Front(*self._shape, given.pad, many(*given.shift), many(*given.scale))
        arguments = self._stages, len(self._stages), ctypes.byref(front), threads
        self._forward = self._library.striate_forward_create(*arguments)
        if not self._forward:
            raise _no_memory()

    def __del__(self) -> None:
        if getattr(self, "_forward", None):
            self._library.striate_forward_destroy(self._forward)
            self._forward = None

    def refresh(self) -> None:
        """Take the tensors' numbers as they are now, after an update."""
        self._library.striate_forward_refresh(self._forward, self._stages)

    def logits(self, x: Tensor) -> Float[Tensor, "B *output"]:
        """The network's outputs.

        Args:
            x: pictures (B, C, h, w) without border, uint8, uint16 or float32; any strides.  Without pixels, samples
                (B, *shape) of the network's input.

        Raises:
            ResourceError: not enough memory.
        """
        out = self._run(self._library.striate_forward_logits, x, torch.float32)
        return out if self._is_row else out.view(-1, *self._output_shape)

    def probabilities(self, x: Tensor) -> Float[Tensor, "B classes"]:
        """The softmax of the logits, float64; x and errors as there."""
        assert self._is_row
        return self._run(self._library.striate_forward_probabilities, x, torch.float64)

    def _run(self, function: "ctypes._NamedFuncPointer", x: Tensor, dtype: torch.dtype) -> Tensor:
        count, *shape = x.shape
        if len(shape) != 3:  # rows of numbers, vectors
            x = x.reshape(count, *self._shape)
        else:
            assert shape == self._shape  # what follows reads memory by these numbers
        out = torch.empty(count, self._outputs, dtype=dtype)
        strides = self._usual if x.is_contiguous() else Strides(*x.stride())
        if function(self._forward, x.data_ptr(), strides, count, KINDS[x.dtype], out.data_ptr()):
            raise _no_memory()
        return out


def evaluated(network: Network) -> tuple[Fused, ...]:
    """The stages in evaluation, where dropout does nothing.

    Raises:
        ConfigError: an operation that the engine does not have, by its place.
    """
    rows = (Dropout(0.0) if isinstance(operation, Dropout) else operation for operation in network.operations)
    return fuse(replace(network, operations=tuple(rows)))


def _no_memory() -> ResourceError:
    return ResourceError("native engine", "memory", "enough", got="too little", fix="evaluate smaller pictures")


def _functions(library: Library) -> ctypes.CDLL:
    found = library.functions
    found.striate_forward_create.restype = ctypes.c_void_p
    found.striate_forward_create.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
    found.striate_forward_destroy.restype = None
    found.striate_forward_destroy.argtypes = [ctypes.c_void_p]
    found.striate_forward_refresh.restype = None
    found.striate_forward_refresh.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    given = (ctypes.c_void_p, ctypes.c_void_p, Strides, ctypes.c_int64, ctypes.c_int, ctypes.c_void_p)
    for function in (found.striate_forward_logits, found.striate_forward_probabilities):
        function.restype = ctypes.c_int
        function.argtypes = given
    return found
