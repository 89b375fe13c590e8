"""In which form a network computes: how its numbers lie in memory, and how many bits they have.

channels_last   the channels are the fastest axis of 4- and 5-dimensional tensors; what is convolved with a weight
that lies so comes out lying so
bfloat16        products and convolutions of 16 bits; weights, losses and updates stay float32 (torch's autocast)
float16         the same with fewer bits of exponent, so the loss is scaled up before the backward pass
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.amp import GradScaler

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
SHORT = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Form:
    """One way of computing.

    Args:
        precision: "float32", "bfloat16" or "float16".
        memory_format: "channels_last" or "contiguous".
    """

    precision: str
    memory_format: str

    def place(self, model: nn.Module, device: str) -> nn.Module:
        """Put a network on a device, its 4- and 5-dimensional tensors in this memory format; in place."""
        model.to(device)
        for tensor in [*model.parameters(), *model.buffers()]:
            lies = CHANNELS_LAST.get(tensor.ndim) if self.memory_format == "channels_last" else None
            tensor.data = tensor.data.contiguous(memory_format=lies or torch.contiguous_format)
        return model

    def autocast(self, device: str) -> AbstractContextManager[Any]:
        """What the forward pass and the loss run in."""
        return torch.autocast(device, SHORT[self.precision]) if self.precision in SHORT else nullcontext()

    def scaler(self, device: str) -> GradScaler | None:
        """What keeps small gradients of float16 from becoming zero."""
        return GradScaler(device) if self.precision == "float16" else None

    def __str__(self) -> str:
        return f"{self.precision}, {self.memory_format.replace('_', '-')}"


def has_formats(model: nn.Module) -> bool:
    """Whether the memory format changes anything: whether there are weights of two or three dimensions of space."""
    return any(parameter.ndim in CHANNELS_LAST for parameter in model.parameters())
