"""A sample's content -> the picture: the one function that threads and worker processes call; torch is not needed."""

from striate.data.decode import decoded
from striate.data.items import Items
from striate.data.kinds import Pixels
from striate.data.picture import Picture


def picture_of_item(items: Items, row: int, name: str, picture: Picture) -> Pixels:
    """Read, decode and fit one sample; its pixels lie unbroken.

    Raises:
        DecodeFault: it cannot be read or decoded, or brought to this picture.
    """
    return decoded(items.content(row, name), picture, name).transpose(1, 2, 0)
