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
from striate.calculus.pencil import beside, grid

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


def demonstrate() -> str:
    """Two branches of 2x2 maps, one after the other and added, with the way back of each."""
    a, b = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.tensor([[[[10.0, 20.0], [30.0, 40.0]]]])
    joined, total = concatenate([a, b]), add([a, b])
    dy = torch.tensor([[[[1.0, 0.0], [0.0, 2.0]], [[0.0, 3.0], [4.0, 0.0]]]])
    da, db = concatenate_pullback(dy, [1, 1])
    ea, eb = add_pullback(dy[:, :1], 2)
    return "\n\n".join(
        [
            "CONCATENATION   one channel and one channel make two",
            beside(grid(a[0, 0]), "and", grid(b[0, 0]), "->", grid(joined[0, 0]), "|", grid(joined[0, 1])),
            "BACKWARD   each branch gets the channels that came from it",
            beside(grid(dy[0, 0]), "|", grid(dy[0, 1]), "->", grid(da[0, 0]), "and", grid(db[0, 0])),
            "ADDITION   number by number",
            beside(grid(a[0, 0]), "+", grid(b[0, 0]), "=", grid(total[0, 0])),
            "BACKWARD   each branch gets the whole error: a sum grows by 1 with each of its terms",
            beside(grid(dy[0, 0]), "->", grid(ea[0, 0]), "and", grid(eb[0, 0])),
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
