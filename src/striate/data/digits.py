"""`digits`: 1,797 scanned handwritten digits of 8x8 pixels that come with scikit-learn; nothing to download.

The optical recognition set of Alpaydin and Kaynak (UCI, 1998): its test part, grey values 0 to 16.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Real

from striate.data.items import ArrayItems
from striate.data.samples import Named, Source, align, array_names

FILE = "datasets/data/digits.csv.gz"  # of scikit-learn: a row's 64 grey values, then its class


def open_digits() -> Source:
    """The digits, values scaled by 255/16 and rounded to the nearest (halves to even), in one part."""
    table = _table()
    images = np.rint(table[:, :-1].reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    labels, names = table[:, -1].astype(np.int64), list("0123456789")
    named = Named(ArrayItems(images), labels, names, array_names("all", len(images)))
    classes, parts, notes = align("digits", {"all": named})
    return Source("digits", "digits", classes, 1, (8, 8), parts, notes)


def _table() -> Real[np.ndarray, "n 65"]:
    """Read from the file itself: importing what scikit-learn reads it with takes longer than training on it."""
    package = find_spec("sklearn")
    assert package, "the project declares it"
    path = Path(str(package.origin)).parent / FILE
    if path.is_file():
        return np.loadtxt(path, delimiter=",", dtype=np.int64)
    from sklearn.datasets import load_digits  # of a release that has it elsewhere

    bunch = load_digits()
    return np.column_stack([bunch.data, bunch.target])
