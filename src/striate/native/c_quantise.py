"""How weights are kept in the file: as they are, or in 8 bits with one scale for each output channel.

    float32    w
    int8       q = round(w / s), s = max |w| / 127 over the weights of one output channel;  w is read as s q

Symmetric, without a zero point; q is within [-127, 127].  Activations stay float32: what 8 bits save here is room in
flash and traffic to memory, a quarter of both, and not the floating-point unit.
Source: Jacob et al. 2018, arXiv:1712.05877, and its per-channel form in Krishnamoorthi 2018, arXiv:1806.08342.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from striate.base.network import Network
from striate.base.operations import Linear
from striate.base.windowed import Conv


@dataclass(frozen=True, slots=True)
class Stored:
    """Weights as the file holds them.

    Args:
        values: (O, ...), float32 or int8.
        scale: (O,) float32 that they are multiplied by; None where they are the weights themselves.
    """

    values: np.ndarray
    scale: np.ndarray | None = None

    def weights(self) -> np.ndarray:
        """What the compiled network computes with, float64."""
        if self.scale is None:
            return self.values.astype(np.float64)
        return self.values * self.scale.astype(np.float64).reshape(-1, *[1] * (self.values.ndim - 1))


def single(values: np.ndarray) -> np.ndarray:
    """In float32; what is beyond it is refused when it is written."""
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(np.float32)


def as_float32(weights: np.ndarray) -> Stored:
    """The weights themselves."""
    return Stored(single(weights))


def as_int8(weights: np.ndarray) -> Stored:
    """8 bits and a scale for each output channel; a channel of zeros has scale 1."""
    largest = np.abs(weights).reshape(len(weights), -1).max(1)
    scale = single(np.where(largest > 0, largest / 127, 1.0))
    scale = np.maximum(scale, np.finfo(np.float32).tiny)
    each = scale.astype(np.float64).reshape(-1, *[1] * (weights.ndim - 1))
    return Stored(np.clip(np.rint(weights / each), -127, 127).astype(np.int8), scale)


PRECISIONS: Mapping[str, Callable[[np.ndarray], Stored]] = {"float32": as_float32, "int8": as_int8}


def as_kept(network: Network, tensors: Mapping[str, np.ndarray], precision: str) -> dict[str, np.ndarray]:
    """The tensors that the compiled network computes with: weights as rounded, the rest as it is."""
    rounded = {f"{step.place}.weight" for step in network.steps if isinstance(step.operation, Conv | Linear)}
    keep = PRECISIONS[precision]
    return {name: keep(values).weights() if name in rounded else values for name, values in tensors.items()}
