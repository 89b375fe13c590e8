"""RandAugment and TrivialAugment: operations drawn from a list of 14.

    operation = floor(14 u_0)        sign = -1 where u_2 < 1/2
    RandAugment      `policy_operations` of them, one after the other, all with m = policy_magnitude / 30
    TrivialAugment   one of them, with m = floor(31 u_1) / 30

    operation      RandAugment            TrivialAugment (wide)
    identity
    shear_x, _y    +- 0.3 m               +- 0.99 m               pixels a pixel, about the middle
    translate_x,_y +- 150/331 m sides     +- 32 m pixels
    rotate         +- 30 m degrees        +- 135 m degrees
    brightness, colour (saturation), contrast, sharpness
                   1 +- 0.9 m             1 +- 0.99 m
    posterize      8 - round(4 m) bits    8 - round(6 m) bits
    solarize       top (1 - m)            top (1 - m)             the threshold
    autocontrast, equalize

The geometric ones join the picture's matrix (`geometry`), so that pixels are interpolated once; the others follow in
the order in which they were drawn.  Cubuk et al. 2019, arXiv:1909.13719; Mueller and Hutter 2021, arXiv:2103.10158.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from striate.data.augment import colour, tone
from striate.data.augment.draws import HALF, Block, Draws
from striate.data.augment.geometry import Matrices, rotation, shear, translation
from striate.data.augment.settings import LEVELS

OPERATIONS = (
    "identity shear_x shear_y translate_x translate_y rotate brightness colour contrast sharpness posterize solarize "
    "autocontrast equalize"
).split()


@dataclass(frozen=True, slots=True)
class Reach:
    """What the full magnitude is.

    Args:
        shear: in pixels a pixel.
        translate: in sides of the picture.
        translate_pixels: in pixels, where not in sides.
        rotate: in degrees.
        factor: away from 1.
        bits: that posterize takes away.
    """

    shear: float
    translate: float
    translate_pixels: float
    rotate: float
    factor: float
    bits: float


REACH = {
    "randaugment": Reach(0.3, 150 / 331, 0.0, 30.0, 0.9, 4.0),
    "trivialaugment": Reach(0.99, 0.0, 32.0, 135.0, 0.99, 6.0),
}


@dataclass(frozen=True, slots=True, eq=False)
class Operations:
    """What each of B pictures gets as its K operations.

    Args:
        kind: places in OPERATIONS.
        magnitude: in [0, 1].
        sign: -1 or 1.
        reach: of full magnitude.
    """

    kind: Int64[Tensor, "B K"]
    magnitude: Float64[Tensor, "B K"]
    sign: Float64[Tensor, "B K"]
    reach: Reach


def operations(draws: Draws) -> Operations:
    """What was drawn, read as operations."""
    words = draws.of(Block.POLICY)
    kind = words[..., 0] * len(OPERATIONS) >> 32
    sign = 1 - 2 * (words[..., 2] < HALF).double()
    if draws.augment.policy == "trivialaugment":
        magnitude = (words[..., 1] * (LEVELS + 1) >> 32).double() / LEVELS
    else:
        magnitude = torch.full_like(sign, draws.augment.policy_magnitude / LEVELS)
    return Operations(kind, magnitude, sign, REACH[draws.augment.policy])


def policy_matrices(drawn: Operations, size: tuple[int, int]) -> Matrices:
    """The geometric operations of each picture, composed; the identity where it has none."""
    B, K = drawn.kind.shape
    total = torch.eye(3, dtype=torch.float64).repeat(B, 1, 1)
    for k in range(K):
        strength = drawn.magnitude[:, k] * drawn.sign[:, k]
        for kind, matrices in _matrices(strength, drawn.reach, size).items():
            rows = (drawn.kind[:, k] == OPERATIONS.index(kind)).nonzero()[:, 0]
            total[rows] = total[rows] @ matrices[rows]
    return total


def _matrices(strength: Float64[Tensor, " B"], reach: Reach, size: tuple[int, int]) -> dict[str, Matrices]:
    zero = torch.zeros_like(strength)
    high, wide = (reach.translate * side + reach.translate_pixels for side in size)
    return {
        "shear_x": shear(strength * reach.shear, zero),
        "shear_y": shear(zero, strength * reach.shear),
        "translate_x": translation(strength * wide, zero),
        "translate_y": translation(zero, strength * high),
        "rotate": rotation(strength * reach.rotate * (torch.pi / 180)),
    }


def recolour(x: colour.Images, drawn: Operations, top: float) -> colour.Images:
    """The other operations, in the order of drawing, each on all the pictures that have it; x is changed."""
    for k in range(drawn.kind.shape[1]):
        for kind in sorted(set(drawn.kind[:, k].tolist())):
            change = _changes(top, drawn.reach).get(OPERATIONS[kind])
            if change is not None:
                rows = (drawn.kind[:, k] == kind).nonzero()[:, 0]
                place = rows.to(x.device)
                x[place] = change(x[place], drawn.magnitude[rows, k], drawn.sign[rows, k])
    return x


Change = Callable[[colour.Images, Float64[Tensor, " M"], Float64[Tensor, " M"]], colour.Images]


def _changes(top: float, reach: Reach) -> dict[str, Change]:
    """Each operation by its name, of pictures, magnitudes and signs."""

    def enhanced(change: Callable[[colour.Images, colour.Factors, float], colour.Images]) -> Change:
        return lambda x, m, sign: change(x, colour.factors(1 + sign * m * reach.factor, x), top)

    return {
        "brightness": enhanced(colour.brightness),
        "colour": enhanced(colour.saturation),
        "contrast": enhanced(colour.contrast),
        "sharpness": enhanced(tone.sharpness),
        "posterize": lambda x, m, _: tone.posterize(x, colour.factors(8 - (m * reach.bits).round(), x), top),
        "solarize": lambda x, m, _: tone.solarize(x, colour.factors(top * (1 - m), x), top),
        "autocontrast": lambda x, _, __: tone.autocontrast(x, top),
        "equalize": lambda x, _, __: tone.equalize(x, top),
    }
