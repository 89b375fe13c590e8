"""Batch normalisation that follows a convolution or a linear layer, taken into its weights.

    g (W x + b - m) / sqrt(v + eps) + t  =  (r W) x + (r (b - m) + t),  r = g / sqrt(v + eps), one an output channel

In evaluation only: m and v are the running mean and variance.  The place of the normalisation keeps an operation that
does nothing, so that all other places, and the names of their parameters, stay what they were.
Source: Jacob et al. 2018, arXiv:1712.05877, equation 14.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from striate.base.network import Branches, Network, Operations
from striate.base.operations import Activation, BatchNorm, Dropout, Linear, Operation
from striate.base.windowed import Conv

NOTHING = Activation("linear")
Tensors = Mapping[str, np.ndarray]  # by place and torch's name, "0.weight"


def fold(network: Network, tensors: Tensors) -> tuple[Network, dict[str, np.ndarray]]:
    """The same function with fewer normalisations.

    Args:
        network: the description.
        tensors: its parameters and buffers by place.
    """
    kept = dict(tensors)
    return Network(network.input_shape, _row(network.operations, kept, "")), kept


def scale_and_shift(tensors: Tensors, place: str, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """What a normalisation multiplies every channel by, and then adds."""
    gain, shift, mean, variance = (
        np.asarray(tensors[f"{place}.{name}"], np.float64) for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / np.sqrt(variance + eps)
    return scale, shift - mean * scale


def _row(operations: Operations, tensors: dict[str, np.ndarray], prefix: str) -> Operations:
    row: list[Operation] = []
    before: int | None = None  # the convolution or linear layer whose output still stands
    for number, operation in enumerate(operations):
        place = f"{prefix}{number}"
        if isinstance(operation, Branches):
            rows = [_row(branch, tensors, f"{place}.{b}.") for b, branch in enumerate(operation.branches)]
            operation = Branches(tuple(rows), operation.join)
        elif isinstance(operation, BatchNorm) and before is not None:
            target = row[before]
            assert isinstance(target, Conv | Linear)
            _take_in(tensors, f"{prefix}{before}", scale_and_shift(tensors, place, operation.eps))
            row[before] = replace(target, bias=True)
            operation = NOTHING
        row.append(operation)
        if isinstance(operation, Conv | Linear):
            before = number
        elif operation != NOTHING and not isinstance(operation, Dropout):
            before = None
    return tuple(row)


def _take_in(tensors: dict[str, np.ndarray], place: str, norm: tuple[np.ndarray, np.ndarray]) -> None:
    scale, shift = norm
    weight = np.asarray(tensors[f"{place}.weight"], np.float64)
    bias = np.asarray(tensors.get(f"{place}.bias", np.zeros(len(weight))), np.float64)
    tensors[f"{place}.weight"] = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    tensors[f"{place}.bias"] = bias * scale + shift
