"""Preprocessing as the first part of a network, for export: the file then takes pictures, and cannot be fed otherwise.

The arithmetic is that of `Preprocess.to_input`, operation by operation.
"""

import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.nn import functional as F

from striate.data.tensor_kinds import Images


class Normalise(nn.Module):
    """Border, then (v - w mean) (1 / (w std)) per channel.

    Args:
        pad: width of the border in pixels.
        shift: w mean, a channel each.
        scale: 1 / (w std), a channel each.

    Shape: (B, C, h, w) -> (B, C, h + 2 pad, w + 2 pad).
    """

    def __init__(self, pad: int, shift: Float32[Tensor, " C"], scale: Float32[Tensor, " C"]) -> None:
        super().__init__()
        self.pad = pad
        self.shift: Tensor
        self.scale: Tensor
        self.register_buffer("shift", shift[:, None, None])
        self.register_buffer("scale", scale[:, None, None])

    def forward(self, images: Images) -> Float32[Tensor, "B C H W"]:
        """Pictures -> what the network reads."""
        x = F.pad(images.to(torch.float32), (self.pad,) * 4)
        return (x - self.shift) * self.scale


class Whitened(nn.Module):
    """A v - b in float64, rounded to float32, then a border of zeros.

    Args:
        pad: width of the border in pixels.
        matrix: A, float32.
        offset: b, float64.

    Shape: (B, C, h, w) -> (B, C, h + 2 pad, w + 2 pad).
    """

    def __init__(self, pad: int, matrix: Float32[Tensor, "F F"], offset: Tensor) -> None:
        super().__init__()
        self.pad = pad
        self.matrix: Tensor
        self.offset: Tensor
        self.register_buffer("matrix", matrix)
        self.register_buffer("offset", offset)

    def forward(self, images: Images) -> Float32[Tensor, "B C H W"]:
        """Pictures -> what the network reads."""
        white = images.to(torch.float64).flatten(1) @ self.matrix.to(torch.float64).T - self.offset
        return F.pad(white.to(torch.float32).view(images.shape), (self.pad,) * 4)
