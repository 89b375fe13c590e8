"""A sample's content -> the picture: the one function that threads and worker processes call; torch is not needed."""

import numpy as np

from striate.data.decode import decoded
from striate.data.items import Items
from striate.data.kinds import Pixels
from striate.data.picture import Picture


def picture_of_item(items: Items, row: int, name: str, picture: Picture) -> Pixels:
    """Read, decode and fit one sample.

    Raises:
        DecodeFault: it cannot be read or decoded, or brought to this picture.
    """
    planes = decoded(items.content(row, name), picture, name)
    return np.ascontiguousarray(planes.transpose(1, 2, 0))  # channels last, as pictures lie in batches
