"""The native engine: a small sequential network's training step, or its gradient alone, in one call.

It works on the tensors that it is given, in place: the network's own parameters and running statistics, and the
optimiser's memory.  Nothing has to be copied back, and a checkpoint of them is a checkpoint of the engine.
"""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from striate.base.errors import ResourceError
from striate.base.network import Network
from striate.base.operations import BatchNorm, Shape
from striate.base.random import Purpose, StepRandomness, key
from striate.native.library import Library
from striate.native.pixels import Pixels
from striate.native.program import (
    KINDS,
    Batch,
    Parameter,
    Result,
    Rule,
    Targets,
    Tensors,
    address,
    front,
    program,
)
from striate.native.stages import fuse, joined

Loss = Literal["cross_entropy", "mse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What an update keeps of a parameter, and how strongly it acts on it.

    Args:
        first: momentum, or Adam's mean of the gradient; None without momentum.
        second: Adam's mean of its square.
        lr_factor: what the rate is multiplied by.
        decay: strength of weight decay.
        l1: strength of the L1 penalty.
    """

    first: Tensor | None = None
    second: Tensor | None = None
    lr_factor: float = 1.0
    decay: float = 0.0
    l1: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The loss.

    Args:
        loss: softmax and cross-entropy of a class, or the mean of the squared errors of all outputs; the rest is of the
            first.
        label_smoothing: share of the target spread over all classes, in [0, 1).
        weights: what a sample of each class counts.
    """

    loss: Loss = "cross_entropy"
    label_smoothing: float = 0.0
    weights: Float[Tensor, " C"] | None = None


class Engine:
    """A network of this description, on these tensors.

    Args:
        library: with the kernels.
        network: its description; `fuse` refuses what the engine does not have.
        tensors: parameters and buffers by the description's names, contiguous float32, changed in place.
        memory: of every parameter; empty where nothing is updated.
        pixels: how pictures of bytes become the network's input; None: batches are its input.
        largest: samples in the largest batch.
        threads: that share a batch, 1 to 16; no number depends on them.

    Raises:
        ConfigError: an operation that the engine does not have.
        ResourceError: not enough memory.
    """

    def __init__(
        self,
        library: Library,
        network: Network,
        tensors: Tensors,
        *,
        memory: Mapping[str, Memory],
        pixels: Pixels | None = None,
        largest: int,
        threads: int,
    ) -> None:
        self.network, self.largest = network, largest
        self.stages = joined(fuse(network))
        self._outputs = prod(network.output_shape)
        self._front = front(network.input_shape if pixels else self.stages[0].input, pixels)
        self._map: Shape = (self._front.channels, self._front.height, self._front.width)
        self._shape, self._dtype = (
            self._map if pixels else network.input_shape,
            torch.uint8 if pixels else torch.float32,
        )
        self._batch = Batch()
        self._strides: tuple[int, ...] = ()
        self._samples = self._batch.samples
        self._samples.kind = KINDS[self._dtype]
        self._kept = (dict(tensors), dict(memory))  # the program holds addresses alone
        self._library = functions(library)
        self.offsets = _offsets(network)
        stages = program(self.stages, tensors, self.offsets)
        parameters = _parameters(tensors, memory, self.offsets)
        arguments = stages, len(stages), ctypes.byref(self._front), parameters, len(parameters), largest, threads
        self._engine = self._library.striate_engine_create(*arguments)
        if not self._engine:
            raise ResourceError("native engine", "memory", "enough", got="too little", fix="take a smaller batch_size")
        size = sum(prod(shape) for shape in network.parameter_shapes().values())
        where = self._library.striate_engine_gradient(self._engine)
        self._gradient = torch.frombuffer((ctypes.c_float * size).from_address(where), dtype=torch.float32)

    def __del__(self) -> None:
        if getattr(self, "_engine", None):
            self._library.striate_engine_destroy(self._engine)
            self._engine = None

    def step(self, x: Tensor, y: Tensor, goal: Goal, rule: Rule | None, now: StepRandomness) -> Result:
        """One update, or without a rule the gradient alone.

        Args:
            x: samples (B, *shape) float32, or with pixels pictures (B, C, h, w) uint8 without border; `largest` at
                most, any strides.
            y: classes (B,) int64, or a probability for each (B, C); of mse, the numbers (B, K).
            goal: what is minimised.
            rule: of the update.
            now: what dropout draws for.

        Returns:
            The mean loss, the gradient's norm, and whether the weights were updated: not where either is not finite.

        Raises:
            ValueError: batch normalisation gets a single number of a channel.
        """
        count = x.shape[0]
        if count == 1 and any(isinstance(s.operation, BatchNorm) and prod(s.input[1:]) == 1 for s in self.stages):
            raise ValueError("Expected more than 1 value per channel when training")  # what torch says of it
        x = self._laid(x)
        self._read(x, now)
        labels = None if y.is_floating_point() else y
        numbers = y.float().contiguous() if y.is_floating_point() else None
        weights = None if goal.weights is None else goal.weights.float().contiguous()
        assert y.shape[0] == count  # what follows reads memory by these numbers
        assert labels is None or labels.dtype == torch.int64
        assert numbers is None or numbers.shape == (count, self._outputs)
        assert weights is None or len(weights) == self._outputs
        self._batch.targets = _targets(goal, labels, numbers, weights, self._outputs)
        result = Result()
        asked = None if rule is None else ctypes.byref(rule)
        self._library.striate_engine_step(self._engine, ctypes.byref(self._batch), asked, ctypes.byref(result))
        return result

    def gradients(self) -> dict[str, Tensor]:
        """The last step's, by the description's names; they are overwritten by the next."""
        shapes = self.network.parameter_shapes()
        return {
            name: self._gradient[at : at + prod(shapes[name])].view(shapes[name]) for name, at in self.offsets.items()
        }

    def _laid(self, x: Tensor) -> Tensor:
        """Samples as maps; of a copy the caller must hold on to it as long as the engine reads it."""
        count, *shape = x.shape
        assert x.dtype == self._dtype
        assert 0 < count <= self.largest
        assert tuple(shape) == self._shape
        return x if self._shape == self._map else x.reshape(count, *self._map)  # no rows, or flattened at once

    def _read(self, x: Tensor, now: StepRandomness) -> None:
        """Say where a batch lies, in the one structure that all have: it takes as long to make as a small layer."""
        batch, samples, strides = self._batch, self._samples, x.stride()
        samples.data, samples.count = x.data_ptr(), x.shape[0]
        if strides != self._strides:
            self._strides = strides
            samples.strides = strides
        batch.key = key(now.seed, Purpose.DROPOUT)
        batch.step, batch.first_row = now.step, now.first_row


def _targets(
    goal: Goal, labels: Tensor | None, numbers: Tensor | None, weights: Tensor | None, outputs: int
) -> Targets:
    made = Targets(address(labels), weights=address(weights), smoothing=goal.label_smoothing, classes=outputs)
    if goal.loss == "mse":
        assert numbers is not None
        made.numbers = address(numbers)
    else:
        made.probabilities = address(numbers)
    return made


def _offsets(network: Network) -> dict[str, int]:
    offsets, at = {}, 0
    for name, shape in network.parameter_shapes().items():
        offsets[name] = at
        at += prod(shape)
    return offsets


def _parameters(
    tensors: Tensors, memory: Mapping[str, Memory], offsets: Mapping[str, int]
) -> "ctypes.Array[Parameter]":
    made = (Parameter * len(memory))()
    for entry, (name, own) in zip(made, memory.items(), strict=True):
        entry.value, entry.first, entry.second = address(tensors[name]), address(own.first), address(own.second)
        entry.at, entry.size = offsets[name], tensors[name].numel()
        entry.lr_factor, entry.decay, entry.l1 = own.lr_factor, own.decay, own.l1
    return made


def functions(library: Library) -> ctypes.CDLL:
    """The library's functions of the engine, with their arguments declared."""
    found = library.functions
    found.striate_engine_create.restype = ctypes.c_void_p
    stages, parameters = ((ctypes.c_void_p, ctypes.c_int),) * 2
    found.striate_engine_create.argtypes = (*stages, ctypes.c_void_p, *parameters, ctypes.c_int64, ctypes.c_int)
    found.striate_engine_destroy.restype = None
    found.striate_engine_destroy.argtypes = [ctypes.c_void_p]
    found.striate_engine_step.restype = None
    found.striate_engine_step.argtypes = [ctypes.c_void_p] * 4
    found.striate_engine_gradient.restype = ctypes.c_void_p
    found.striate_engine_gradient.argtypes = [ctypes.c_void_p]
    return found
