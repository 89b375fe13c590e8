"""`curve` and `curve-few`: a number y to be told from a number x.

    y = sin(2 pi x) + x / 2 + noise        x uniform on [-1, 1)

`curve` has 600 points and noise of deviation 0.2.  `curve-few` has noise of 0.5 and 16 points to train with, few enough
to be learnt by heart, noise and all, and 200 and 200 to see it.
"""

import numpy as np
from jaxtyping import Float64

from striate.data.generated.draws import Chance
from striate.data.record_set import Records, all_rows

NOISE, LOUD = 0.2, 0.5
FEW, OTHERS = 16, 200


def truth(x: Float64[np.ndarray, " N"]) -> Float64[np.ndarray, " N"]:
    """The curve without noise."""
    return np.sin(2 * np.pi * x) + x / 2


def curve() -> Records:
    """600 points."""
    count = 600
    return _points("curve", Chance(1, count), NOISE, all_rows(count))


def curve_few() -> Records:
    """16 points to train with, 200 to validate and 200 to test."""
    ends = np.cumsum([0, FEW, OTHERS, OTHERS])
    rows = np.arange(ends[-1], dtype=np.int64)
    names = ("train", "validation", "test")
    parts = {name: rows[ends[i] : ends[i + 1]] for i, name in enumerate(names)}
    return _points("curve-few", Chance(2, int(ends[-1])), LOUD, parts)


def _points(name: str, chance: Chance, noise: float, parts: dict[str, np.ndarray]) -> Records:
    x = chance.uniform(-1, 1)
    y = truth(x[:, 0])[:, None] + chance.normal(noise)
    return Records(
        name=name,
        location=name,
        kind="numbers",
        inputs=x.astype(np.float32),
        targets=y.astype(np.float32),
        classes=("y",),
        parts=parts,
    )
