"""Chance for generated sets: every number is a pure function of (set, sample, place), so a set is the same everywhere.

words = philox(key = (0, GENERATE), counter = (place // 4, sample, set, 0))        place p takes word p mod 4
uniform u = word / 2^32        normal = sqrt(-2 log(1 - u)) cos(2 pi v)        (Box and Muller 1958)
grain   from the four bytes of a word, for pixels, of which there are many
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from striate.base.random import Purpose, key, philox, uniform

_KEY = key(0, Purpose.GENERATE)
Number = float | int


@dataclass(slots=True)
class Chance:
    """Draws for the samples of one set; each call takes places that no other has.

    Args:
        number: of the set; sets never share numbers.
        samples: how many there are.
    """

    number: int
    samples: int
    _place: int = 0

    def uniform(self, low: Number, high: Number, count: int = 1) -> Float64[np.ndarray, "N count"]:
        """Numbers in [low, high), so many a sample."""
        return low + (high - low) * uniform(self._words(count))

    def normal(self, deviation: Number, count: int = 1) -> Float64[np.ndarray, "N count"]:
        """Numbers of mean 0, so many a sample."""
        u, v = self.uniform(0, 1, count), self.uniform(0, 1, count)
        return deviation * np.sqrt(-2 * np.log1p(-u)) * np.cos(2 * np.pi * v)

    def grain(self, spread: Number, count: int) -> Float64[np.ndarray, "N count"]:
        """256 steps from -spread to spread, so many numbers a sample."""
        words = self._words(-(-count // 4))
        steps = (words[:, :, None] >> np.array([0, 8, 16, 24])) & 255
        return (steps.reshape(self.samples, -1)[:, :count] / 127.5 - 1) * spread

    def whole(self, end: int, count: int = 1) -> Int64[np.ndarray, "N count"]:
        """Whole numbers from 0 to end - 1, so many a sample."""
        return self.uniform(0, end, count).astype(np.int64)

    def _words(self, count: int) -> Int64[np.ndarray, "N count"]:
        groups = -(-count // 4)
        place = np.arange(self._place, self._place + groups, dtype=np.int64)[None, :]
        sample = np.arange(self.samples, dtype=np.int64)[:, None]
        words = philox((place, sample, np.int64(self.number), np.int64(0)), _KEY)
        self._place += groups
        return np.stack(words, axis=2).reshape(self.samples, -1)[:, :count]
