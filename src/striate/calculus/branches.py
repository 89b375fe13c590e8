"""Where branches meet: feature maps side by side (concatenation), or on top of each other (addition).

    concatenation   y = [x_1, x_2, …] along channels      dL/dx_i = the channels of dL/dy that came from x_i
    addition        y = x_1 + x_2 + …                     dL/dx_i = dL/dy, whole, for each

Inception joins its branches the first way (Szegedy et al. 2015), a residual network the second (He et al. 2016).
"""

from collections.abc import Sequence
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from striate.base.errors import ConfigError

Maps = Float[Tensor, "B _ *spatial"]


def concatenate(parts: Sequence[Maps]) -> Maps:
    """All channels of the first branch, then all of the second, and so on.

    Raises:
        ConfigError: batch or positions differ between branches.
    """
    _check_same("concatenate", "batch and spatial sizes", [(p.shape[0], *p.shape[2:]) for p in parts])
    return torch.cat(list(parts), dim=1)


def concatenate_pullback(dy: Maps, channels: Sequence[int]) -> tuple[Maps, ...]:
    """dL/dx of every branch, given how many channels each had."""
    return torch.split(dy, list(channels), dim=1)


def add(parts: Sequence[Float[Tensor, "*shape"]]) -> Float[Tensor, "*shape"]:
    """The sum of branches of one shape; nothing is broadcast.

    Raises:
        ConfigError: shapes differ.
    """
    _check_same("add", "shapes", [tuple(p.shape) for p in parts])
    return reduce(torch.add, parts)


def add_pullback(dy: Float[Tensor, "*shape"], count: int) -> tuple[Float[Tensor, "*shape"], ...]:
    """dL/dx of each of `count` branches: addition copies the error."""
    return (dy,) * count


def _check_same(where: str, what: str, shapes: list[tuple[int, ...]]) -> None:
    if len(set(shapes)) != 1:
        fix = "give at least one branch, and stride and pad all alike"
        raise ConfigError(where, f"{what} of the branches", "equal", got=shapes, fix=fix)
