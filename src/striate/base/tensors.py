"""Tensors as a file takes them: each with memory of its own."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch takes seconds to import, and this file is imported with the errors
    from torch import Tensor


def apart(tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """The same numbers, on the CPU and dense, none in the memory of another, which safetensors would refuse."""
    seen: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        place = plain.untyped_storage().data_ptr()
        separate[name] = plain.clone() if place in seen else plain
        seen.add(place)
    return separate
