"""A sample's content -> the picture: the one function that threads and worker processes call; torch is not needed."""

import numpy as np
from jaxtyping import UInt8

from striate.data.decode import decode
from striate.data.items import Items
from striate.data.picture import Picture, fit


def picture_of_item(items: Items, row: int, name: str, picture: Picture) -> UInt8[np.ndarray, "h w C"]:
    """Read, decode and fit one sample.

    Raises:
        DecodeFault: it cannot be read or decoded.
        DataError: its channels cannot be converted.
    """
    content = items.content(row, name)
    planes = fit(decode(content, name) if isinstance(content, bytes) else content, picture)
    return np.ascontiguousarray(planes.transpose(1, 2, 0))  # channels last, as pictures lie in batches
