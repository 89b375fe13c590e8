"""The letters that annotations use, with one meaning everywhere.

B batch   C channels   D depth   H height   W width   (pictures and feature maps: B C H W)
O output channels   I input channels of one group   G groups   K kernel entries along an axis
N samples of a data set   F features   L length of a signal
"""

SPATIAL = ("D", "H", "W")


def spatial_names(dims: int) -> tuple[str, ...]:
    """The names of the last `dims` axes: ('W',), ('H', 'W') or ('D', 'H', 'W').

    >>> spatial_names(2)
    ('H', 'W')
    """
    return SPATIAL[len(SPATIAL) - dims :]
