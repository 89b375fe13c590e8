"""Orders drawn by chance, each a pure function of what it is for; torch is not needed.

numbers, sorted by word_0 2^32 + word_1 (as a signed number) of

    philox(key = (seed, ORDER), counter = (number, epoch, draw, 0))
"""

import numpy as np
from jaxtyping import Int64

from striate.base.random import Purpose, Words, key, philox

Numbers = Int64[np.ndarray, " m"]


def shuffled(numbers: Numbers, seed: int, epoch: int, draw: int = 0) -> Numbers:
    """The numbers in another order.

    Args:
        numbers: such as the positions of samples, each in [0, 2^32).
        seed: the run's seed.
        epoch: counted from 0.
        draw: tells the orders of one epoch apart.
    """
    words = order_words(numbers, seed, epoch, draw)
    return numbers[np.argsort(words[0] << 32 | words[1], kind="stable")]


def order_words(numbers: Numbers, seed: int, epoch: int, draw: int) -> Words:
    """The four words drawn for each number."""
    zero = np.zeros_like(numbers)
    return philox((numbers, zero + epoch, zero + draw, zero), key(seed, Purpose.ORDER))
