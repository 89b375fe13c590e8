"""The stages as the C++ engine reads them: structures of plain numbers and addresses.

Each class mirrors the one of the same name in the C++ files, field by field.
"""

from collections.abc import Mapping, Sequence
from ctypes import POINTER, Structure, c_double, c_float, c_int32, c_int64, c_uint32, c_void_p
from typing import Any

import torch
from torch import Tensor

from striate.base.operations import BatchNorm, Dropout, Linear, Shape
from striate.base.padding import Pair
from striate.base.shapes import per_axis
from striate.base.windowed import AdaptiveMeanPool, Conv, MaxPool, MeanPool
from striate.native.pixels import Pixels
from striate.native.stages import FUNCTIONS, Fused

Tensors = Mapping[str, Tensor]  # by the description's names, "0.weight"
NUMBERS = {Conv: 0, MaxPool: 1, MeanPool: 2, AdaptiveMeanPool: 2, BatchNorm: 4, Linear: 5, Dropout: 6}
POINTWISE = 3
KINDS = {torch.uint8: 0, torch.uint16: 1, torch.float32: 2}  # of pictures' numbers, see entrance.h
Pairs = c_int32 * 2


class Map(Structure):
    """How a map lies; see maps.h."""

    _fields_ = [(name, c_int32) for name in ("channels", "height", "width", "top", "left", "rows", "cols")]


class Stage(Structure):
    """One fused operation; see maps.h."""

    _fields_ = [
        ("kind", c_int32),
        ("activation", c_int32),
        ("slope", c_float),
        ("pooled", c_int32),
        ("tile", c_int32),
        ("input", Map),
        ("output", Map),
        ("kernel", Pairs),
        ("stride", Pairs),
        ("padding", Pairs),
        ("dilation", Pairs),
        ("groups", c_int32),
        ("adaptive", c_int32),
        ("count_pad", c_int32),
        ("after", Pairs),
        ("layer", c_int32),
        ("p", c_float),
        ("eps", c_float),
        ("momentum", c_float),
        *((name, c_void_p) for name in ("weight", "bias", "mean", "variance")),
        ("weight_at", c_int64),
        ("bias_at", c_int64),
    ]


class Parameter(Structure):
    """A tensor of parameters and what an update does with it; see update.h."""

    _fields_ = [
        *((name, c_void_p) for name in ("value", "first", "second")),
        ("at", c_int64),
        ("size", c_int64),
        *((name, c_float) for name in ("lr_factor", "decay", "l1")),
    ]


class Rule(Structure):
    """What an update is told; see update.h."""

    _fields_ = [
        ("optimizer", c_int32),
        ("nesterov", c_int32),
        *(
            (name, c_float)
            for name in "lr momentum beta1 beta2 eps correction1 correction2 clip_norm clip_value".split()
        ),
    ]


class Targets(Structure):
    """What the samples should come to; see loss.h."""

    _fields_ = [
        ("labels", c_void_p),
        ("probabilities", c_void_p),
        ("numbers", c_void_p),
        ("weights", c_void_p),
        ("smoothing", c_float),
        ("classes", c_int32),
    ]


class Front(Structure):
    """From a picture's numbers to the network's; see entrance.h."""

    _fields_ = [
        *((name, c_int32) for name in ("channels", "height", "width", "pad")),
        ("shift", POINTER(c_float)),
        ("scale", POINTER(c_float)),
    ]


class Pictures(Structure):
    """Samples as they come; see entrance.h."""

    _fields_ = [("data", c_void_p), ("strides", c_int64 * 4), ("count", c_int64), ("kind", c_int32)]


class Batch(Structure):
    """Samples and what they should come to; see batch.h."""

    _fields_ = [
        ("samples", Pictures),
        ("targets", Targets),
        ("key", c_uint32 * 2),
        ("step", c_uint32),
        ("first_row", c_int64),
    ]


class Result(Structure):
    """What a step came to; see engine.cpp."""

    _fields_ = [("loss", c_double), ("norm", c_double), ("updated", c_int32)]


def address(tensor: Tensor | None) -> int | None:
    """Where a dense tensor's numbers lie."""
    assert tensor is None or tensor.is_contiguous()
    return None if tensor is None else tensor.data_ptr()


def front(shape: Shape, pixels: Pixels | None) -> Front:
    """How pictures come to the first map.

    Args:
        shape: (C, H, W) of the network's input.
        pixels: how pictures become it; None: they are it.
    """
    channels, height, width = shape
    given = pixels or Pixels(pad=0, shift=(0.0,) * channels, scale=(1.0,) * channels)
    assert len(given.shift) == len(given.scale) == channels
    many, border = c_float * channels, 2 * given.pad
    return Front(channels, height - border, width - border, given.pad, many(*given.shift), many(*given.scale))


def program(stages: Sequence[Fused], tensors: Tensors, offsets: Mapping[str, int]) -> Any:
    """The stages in an array of C's.

    Args:
        stages: in order.
        tensors: parameters and buffers, contiguous float32; they must outlive the array.
        offsets: where each parameter's gradient begins.
    """
    made = (Stage * len(stages))()
    for number, fused in enumerate(stages):
        after = stages[number + 1].border if number + 1 < len(stages) else ((0, 0), (0, 0))
        stage = made[number]
        stage.input, stage.output = _map(fused.input, fused.border), _map(fused.output, after)
        stage.kind = NUMBERS.get(type(fused.operation), POINTWISE)
        stage.activation = FUNCTIONS.index(fused.activation.name)
        named = {"leaky_relu": fused.activation.negative_slope, "elu": fused.activation.alpha}
        stage.slope = float(named.get(fused.activation.name, 0.0))
        _windows(stage, fused)
        if isinstance(fused.operation, Dropout):
            stage.p, stage.layer = float(fused.operation.p), fused.stream
        if isinstance(fused.operation, BatchNorm):
            stage.eps, stage.momentum = float(fused.operation.eps), float(fused.operation.momentum)
        _numbers(stage, fused.place, tensors, offsets)
    return made


def _map(shape: Shape, border: tuple[Pair, Pair]) -> Map:
    (top, bottom), (left, right) = border
    channels, height, width = shape
    return Map(channels, height, width, top, left, height + top + bottom, width + left + right)


def _numbers(stage: Any, place: str, tensors: Tensors, offsets: Mapping[str, int]) -> None:
    own = {"weight": "weight", "bias": "bias", "mean": "running_mean", "variance": "running_var"}
    for field, name in own.items():
        setattr(stage, field, address(tensors.get(f"{place}.{name}")))
    stage.weight_at = offsets.get(f"{place}.weight", -1)
    stage.bias_at = offsets.get(f"{place}.bias", -1)


def _windows(stage: Any, fused: Fused) -> None:
    operation = fused.operation
    stage.groups, stage.pooled = 1, int(fused.pooled)
    if isinstance(operation, Conv):
        stage.after, stage.groups = Pairs(*fused.inner), operation.groups
        stage.tile = fused.tile
        stage.padding = Pairs(fused.border[0][0], fused.border[1][0])
        stage.kernel, stage.stride = _two(fused, operation.kernel_size, 1), _two(fused, operation.stride, 1)
        stage.dilation = _two(fused, operation.dilation, 1)
    if isinstance(operation, MaxPool | MeanPool):
        kernel = operation.kernel_size
        stage.kernel, stage.padding = _two(fused, kernel, 1), _two(fused, operation.padding, 0)
        stage.stride = _two(fused, kernel if operation.stride is None else operation.stride, 1)
        stage.after = stage.padding
        stage.dilation = _two(fused, operation.dilation if isinstance(operation, MaxPool) else 1, 1)
        stage.count_pad = int(isinstance(operation, MeanPool) and operation.count_include_pad)
    stage.adaptive = int(isinstance(operation, AdaptiveMeanPool))


def _two(fused: Fused, value: Any, usual: int) -> Any:
    """An option for rows and columns; of a row of pixels, `usual` for the rows."""
    axes = len(value) if isinstance(value, tuple) else fused.axes
    values = per_axis("option", value, axes, where=fused.operation.kind, minimum=0)
    return Pairs(*(usual,) * (2 - axes), *values)
