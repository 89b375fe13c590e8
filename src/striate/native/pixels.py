"""How a picture's numbers become a network's input."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """From bytes to what the network reads: x = (v - shift) * scale, v = 0 in the border.

    Args:
        pad: width of the border, pixels.
        shift: a number a channel, in bytes.
        scale: the same, in inverse bytes.
    """

    pad: int
    shift: tuple[float, ...]
    scale: tuple[float, ...]
