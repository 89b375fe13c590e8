"""`digits`: 1,797 scanned handwritten digits of 8x8 pixels that come with scikit-learn; nothing to download.

The optical recognition set of Alpaydin and Kaynak (UCI, 1998): its test part, grey values 0 to 16.
"""

import numpy as np

from striate.data.items import ArrayItems
from striate.data.samples import Named, Source, align, array_names


def open_digits() -> Source:
    """The digits, values scaled by 255/16 and rounded to the nearest (halves to even), in one part."""
    from sklearn.datasets import load_digits  # 1.4 s to import

    bunch = load_digits()
    images = np.rint(bunch.images * 255 / 16).astype(np.uint8)
    names = [str(name) for name in bunch.target_names]
    named = Named(ArrayItems(images), bunch.target.astype(np.int64), names, array_names("all", len(images)))
    classes, parts, notes = align("digits", {"all": named})
    return Source("digits", "digits", classes, 1, (8, 8), parts, notes)
