"""`curve` and `curve-few`: a number y to be told from a number x.

    y = sin(2 pi x) + x / 2 + noise of deviation 0.2        x uniform on [-1, 1)

`curve` has 600 points.  `curve-few` has 16 to train with, few enough to be learnt by heart, and 200 and 200 to see it.
"""

import numpy as np
from jaxtyping import Float64

from striate.data.generated.draws import Chance
from striate.data.record_set import Records, all_rows

NOISE = 0.2
FEW, OTHERS = 16, 200


def truth(x: Float64[np.ndarray, " N"]) -> Float64[np.ndarray, " N"]:
    """The curve without noise."""
    return np.sin(2 * np.pi * x) + x / 2


def curve() -> Records:
    """600 points."""
    count = 600
    return _points("curve", 1, all_rows(count), count)


def curve_few() -> Records:
    """16 points to train with, 200 to validate and 200 to test."""
    ends = np.cumsum([0, FEW, OTHERS, OTHERS])
    rows = np.arange(ends[-1], dtype=np.int64)
    names = ("train", "validation", "test")
    parts = {name: rows[ends[i] : ends[i + 1]] for i, name in enumerate(names)}
    return _points("curve-few", 2, parts, int(ends[-1]))


def _points(name: str, number: int, parts: dict[str, np.ndarray], count: int) -> Records:
    chance = Chance(number, count)
    x = chance.uniform(-1, 1)
    y = truth(x[:, 0])[:, None] + chance.normal(NOISE)
    return Records(
        name=name,
        location=name,
        kind="numbers",
        inputs=x.astype(np.float32),
        targets=y.astype(np.float32),
        classes=("y",),
        parts=parts,
    )
