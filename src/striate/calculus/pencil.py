"""Numbers laid out so that a learner can follow them with a pencil: grids, and grids side by side."""

from itertools import zip_longest

from jaxtyping import Shaped
from torch import Tensor


def number(value: int | float) -> str:
    """A number as one would write it: 4 and 0.25, not 4.0000 and 2.5e-01.

    >>> number(4.0), number(-0.25)
    ('4', '-0.25')
    """
    return f"{value + 0.0:.4g}"  # + 0.0: no minus before a zero


def grid(x: Shaped[Tensor, "*rows W"]) -> str:
    """A vector as one line, a matrix as lines with aligned columns.

    >>> import torch
    >>> print(grid(torch.tensor([[1.0, -2.0], [10.0, 0.5]])))
     1   -2
    10  0.5
    """
    rows = [[number(v) for v in row] for row in x.reshape(-1, x.shape[-1]).tolist()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows)


def beside(*blocks: str) -> str:
    r"""Blocks of lines next to each other, each centred in height.

    >>> print(beside("1\n2\n3", "x", "4\n5\n6"))
    1     4
    2  x  5
    3     6
    """
    parts = [block.split("\n") for block in blocks]
    height = max(map(len, parts))
    columns = []
    for lines in parts:
        width, above = max(map(len, lines)), (height - len(lines)) // 2
        centred = [*[""] * above, *lines]
        columns.append([line.ljust(width) for line, _ in zip_longest(centred, range(height), fillvalue="")])
    return "\n".join("  ".join(row).rstrip() for row in zip(*columns, strict=True))
