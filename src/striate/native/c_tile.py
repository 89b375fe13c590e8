"""How many pixels and output channels a convolution sums at once.

Sums of P neighbouring pixels, each B output channels wide, stay in registers while the window is gone through: every
weight that is read serves P pixels, every input B channels.  The compiler turns the innermost loop over channels into
vectors; here they are taken to be 8 floats wide and 16 in number, as in AVX2, and narrower ones do as well by halves.

    cost of a window entry = max(P V + V, P + V, 8), V = B / 8     two sums a cycle, each four cycles under way

The tile with the least cost over the whole map wins, then the one with the fewest channels that are padded.
"""

from typing import NamedTuple

LANES = 8  # floats of a vector
SUMS = 12  # vectors: 16 registers, less those for weights and an input


class Tile(NamedTuple):
    """Pixels of a row and output channels at once, and the blocks of channels that this makes."""

    pixels: int
    channels: int
    blocks: int


def tile(channels: int, pixels: int) -> Tile:
    """The best for so many output channels, and so many pixels in a row.

    >>> tile(6, 28)
    Tile(pixels=7, channels=8, blocks=1)
    >>> tile(120, 1)
    Tile(pixels=1, channels=40, blocks=3)
    """
    widths = [4] if channels <= 4 else range(LANES, LANES * SUMS + 1, LANES)
    found = []
    for width in widths:
        vectors, blocks = -(-width // LANES), -(-channels // width)
        for count in range(1, min(pixels, SUMS // vectors) + 1):
            entry = max(count * vectors + vectors, count + vectors, 8)
            found.append((blocks * -(-pixels // count) * entry, blocks * width, count, width, blocks))
    _, _, count, width, blocks = min(found)
    return Tile(count, width, blocks)
