"""Inverted dropout: in training, each number is kept with probability 1 - p and the kept ones are scaled up.

    y = m x / (1 - p)        dL/dx = m dL/dy / (1 - p)        m = 1 where kept, 0 where dropped

Since E[m] = 1 - p, E[y] = x, and evaluation is the identity.  Srivastava et al., "Dropout", JMLR 15 (2014), section 10.

The mask is a pure function of (seed, layer, step, row of the global batch, position in the sample): neither a resumed
run nor a batch cut over several processes draws another one.
"""

from functools import partial
from math import ceil, prod
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from striate.base.errors import ConfigError
from striate.base.random import Purpose, key, philox

WORDS = 4  # random words that one Philox counter gives


def dropout(x: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"], p: float) -> Float[Tensor, "*shape"]:
    """Keep and scale what the mask holds.

    Args:
        x: any numbers.
        mask: True where a number is kept.
        p: the probability with which the mask drops, in [0, 1], no unit.
    """
    return torch.where(mask, x * _scale(p), 0)


def dropout_pullback(dy: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"], p: float) -> Float[Tensor, "*shape"]:
    """dL/dx from dL/dy: the forward is linear and diagonal, so this is the same operation."""
    return dropout(dy, mask, p)


def check_probability(where: str, p: float) -> None:
    """Raise ConfigError unless p is a probability."""
    if not 0 <= p <= 1:
        raise ConfigError(where, "p", "a probability in [0, 1]", got=p, fix="p is the share dropped; 0.5 is usual")


def _scale(p: float) -> float:
    check_probability("dropout", p)
    return 0.0 if p == 1 else 1 / (1 - p)


def dropout_mask(
    shape: tuple[int, ...],
    p: float,
    *,
    seed: int,
    layer: int,
    step: int,
    first_row: int = 0,
    device: torch.device | str | None = None,
) -> Bool[Tensor, "*shape"]:
    """True where a number is kept: each with probability 1 - p, by its own counter.

    Seven arguments, since each of them is one coordinate of the draw.

    Args:
        shape: rows of the batch, then the axes of a sample.
        p: share dropped, in [0, 1].
        seed: the run's seed.
        layer: which of the network's layers draws, so that no two share a mask.
        step: updates made before this one.
        first_row: where these rows begin in the global batch.
        device: where the mask is drawn; the same mask on every device.

    >>> whole = dropout_mask((4, 10), 0.5, seed=1, layer=0, step=3)
    >>> last = dropout_mask((2, 10), 0.5, seed=1, layer=0, step=3, first_row=2)
    >>> torch.equal(whole[2:], last)
    True
    """
    check_probability("dropout_mask", p)
    words = sample_words(shape, key(seed, Purpose.DROPOUT), (step, layer), first_row=first_row, device=device)
    return words >= ceil(p * 2**32)  # the same as uniform(words) >= p, without the floats


def sample_words(
    shape: tuple[int, ...],
    philox_key: tuple[int, int],
    draw: tuple[int, int],
    *,
    first_row: int,
    device: torch.device | str | None,
) -> Shaped[Tensor, "*shape"]:
    """One random 32-bit word (in int64) for every number of a batch.

    Counter = (position in the sample // 4, row of the global batch, *draw); the position's remainder picks the word.
    """
    rows, size = shape[0], prod(shape[1:])
    on_cpu = torch.device(device or "cpu").type == "cpu"
    numbers: Any = partial(np.arange, dtype=np.int64) if on_cpu else partial(torch.arange, device=device)
    blocks = numbers(ceil(size / WORDS))[None, :]  # 1 K
    row = numbers(first_row, first_row + rows)[:, None]  # B 1
    one = numbers(1, 2)[:, None]  # 1 1: Philox broadcasts, so its first round stays small
    words = philox((blocks, row, one * draw[0], one * draw[1]), philox_key)  # NumPy takes half of torch's time here
    stacked = torch.from_numpy(np.stack(words, -1)) if on_cpu else torch.stack(words, -1)  # B K 4
    return stacked.flatten(1)[:, :size].reshape(shape)


def demonstrate() -> str:
    """Eight ones under p = 1/2 and their gradient, by hand."""
    x, p = torch.ones(1, 8), 0.5
    mask = dropout_mask((1, 8), p, seed=0, layer=0, step=0)
    y = dropout(x, mask, p)
    dx = dropout_pullback(torch.arange(1.0, 9.0)[None], mask, p)

    def row(t: Tensor) -> str:
        return " ".join(f"{float(value):4g}" for value in t.flatten())

    return "\n".join(
        [
            "Inverted dropout with p = 0.5, so what is kept is multiplied by 1 / (1 - 0.5) = 2",
            f"  x      {row(x)}",
            f"  m      {row(mask)}   drawn for seed 0, layer 0, step 0, row 0",
            f"  y      {row(y)}   = 2 m x",
            f"  dL/dy  {row(torch.arange(1.0, 9.0))}",
            f"  dL/dx  {row(dx)}   = 2 m dL/dy",
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
