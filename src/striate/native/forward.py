"""The native engine's evaluation by itself: decoded pictures to logits or probabilities, in one call.

It has no memory for training, and little to do before the arithmetic begins: one picture of LeNet-5 takes some ten
microseconds.  Whatever the size of the batch and the place in it, a picture comes to the same bits.
"""

import ctypes
from dataclasses import replace
from math import prod

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from striate.base.errors import ResourceError
from striate.base.network import Network
from striate.base.operations import Dropout, Operation
from striate.native.fold import NOTHING, fold
from striate.native.library import Library
from striate.native.pixels import Pixels
from striate.native.program import KINDS, Tensors, front, program
from striate.native.stages import fuse, volume

FLOATS, DOUBLES = torch.empty(0), torch.empty(0, dtype=torch.float64)  # what outputs are made like
Strides = ctypes.c_int64 * 4


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
        self._network, self._given = network, dict(tensors)
        folded, self._folded = _folded(network, tensors)
        stages = fuse(_without_idle(folded))
        self._stages = program(stages, {**tensors, **self._folded}, {})  # of addresses, that `refresh` reads again
        self._library = _functions(library)
        self._forward = None
        given = front(volume(network.input_shape), pixels)
        self._shape = torch.Size((given.channels, given.height, given.width))
        self._output_shape = network.output_shape
        self._outputs, self._is_row = prod(network.output_shape), len(network.output_shape) == 1
        self._usual = Strides(prod(self._shape), prod(self._shape[1:]), self._shape[2], 1)
        arguments = self._stages, len(self._stages), ctypes.byref(given), threads
        self._forward = self._library.striate_forward_create(*arguments)
        if not self._forward:
            raise _no_memory()

    def __del__(self) -> None:
        if getattr(self, "_forward", None):
            self._library.striate_forward_destroy(self._forward)
            self._forward = None

    def refresh(self) -> None:
        """Take the tensors' numbers as they are now, after an update."""
        for name, tensor in _folded(self._network, self._given)[1].items():
            self._folded[name].copy_(tensor)
        self._library.striate_forward_refresh(self._forward, self._stages)

    def logits(self, x: Tensor) -> Float[Tensor, "B *output"]:
        """The network's outputs.

        Args:
            x: pictures (B, C, h, w) without border, uint8, uint16 or float32; any strides.  Without pixels, samples
                (B, *shape) of the network's input.

        Raises:
            ResourceError: not enough memory.
        """
        out = self._run(self._library.striate_forward_logits, x, FLOATS)
        return out if self._is_row else out.view(-1, *self._output_shape)

    def probabilities(self, x: Tensor) -> Float[Tensor, "B classes"]:
        """The softmax of the logits, float64; x and errors as there."""
        assert self._is_row
        return self._run(self._library.striate_forward_probabilities, x, DOUBLES)

    def _run(self, function: "ctypes._NamedFuncPointer", x: Tensor, like: Tensor) -> Tensor:
        shape = x.shape
        count = shape[0]
        if shape[1:] != self._shape:  # rows of numbers, vectors
            assert len(shape) != 4  # what follows reads memory by these numbers
            x = x.reshape(count, *self._shape)
        out = like.new_empty(count, self._outputs)  # sooner there than by `torch.empty` with a dtype
        strides = self._usual if x.is_contiguous() else Strides(*x.stride())
        if function(self._forward, x.data_ptr(), strides, count, KINDS[x.dtype], out.data_ptr()):
            raise _no_memory()
        return out


def _folded(network: Network, tensors: Tensors) -> tuple[Network, dict[str, Tensor]]:
    """With normalisations in the weights before them, and the tensors that are others for it."""
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    with np.errstate(all="ignore"):  # weights need not be finite
        folded, found = fold(network, arrays)
        changed = {name: array for name, array in found.items() if array is not arrays.get(name)}
        return folded, {name: torch.from_numpy(array.astype(np.float32)) for name, array in changed.items()}


def _without_idle(network: Network) -> Network:
    """What does nothing in evaluation, as the one operation that becomes no stage."""
    row = (Dropout(0.0) if _is_idle(operation) else operation for operation in network.operations)
    return replace(network, operations=tuple(row))


def _is_idle(operation: Operation) -> bool:
    return isinstance(operation, Dropout) or operation == NOTHING


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
