"""Changes of light and colour, a factor a picture, on whole batches.

    brightness   f v
    contrast     m + f (v - m)      m: the mean of the picture's grey
    saturation   g + f (v - g)      g: the pixel's grey
    hue          the pixel's hue h becomes h + f, its value and chroma stay
    noise        v + top sum_i a_i l_i p_i     p_i, l_i: axes and variances of the data's colours in [0, 1] units,
                                               a_i ~ N(0, std^2), once a picture

in this order, each clipped to [0, top] where there is a top.  Grey is 0.299 R + 0.587 G + 0.114 B, or the mean of the
channels where they are not three.  Factors are uniform in [1 - strength, 1 + strength], the hue's turn in
[-strength, strength] of the circle.

Hue, with value V the largest and chroma c the difference to the smallest of R, G, B:

    h / 60 = (G - B) / c  if V = R,  2 + (B - R) / c  if V = G,  4 + (R - G) / c  if V = B      (mod 6)
    R, G, B = V - c + c clip(|h / 60 - 3| - 1, 0, 1),  ... (2 - |h / 60 - 2|) ...,  ... (2 - |h / 60 - 4|) ...

Noise: Krizhevsky, Sutskever and Hinton 2012, section 4.1 (`striate.calculus.whitening`).
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float32, Float64, Int64, Real
from torch import Tensor

from striate.base.random import uniform
from striate.calculus.moments import pixel_rows, streamed
from striate.calculus.whitening import Axes, colour_noise, principal_axes
from striate.data.augment.draws import Block, Draws, more

LUMA = (0.299, 0.587, 0.114)
TINY = 1e-30  # below any chroma but 0
Images = Float32[Tensor, "B C H W"]
Factors = Float32[Tensor, "B 1 1 1"]


def colour_axes(batches: Iterable[Real[Tensor, "N C H W"]], top: float | None = 255.0) -> Axes:
    """The principal axes of a training set's colours, in [0, 1] units.

    Args:
        batches: all of its pictures, some at a time.
        top: the value of white; None where the numbers have no range and their own units stay.
    """
    return principal_axes(streamed(pixel_rows(batch).double() / (top or 1.0) for batch in batches))


def jitter(x: Images, draws: Draws, top: float | None) -> Images:
    """Brightness, contrast, saturation and hue, whichever are on; x may be changed."""
    a = draws.augment
    drawn = draws.signed(Block.JITTER)[:, 0]
    steps = ((a.brightness, brightness), (a.contrast, contrast), (a.saturation, saturation))
    for place, (strength, change) in enumerate(steps):
        if strength:
            x = change(x, factors(1 + strength * drawn[:, place], x), top)
    return hue(x, factors(a.hue * drawn[:, 3], x)) if a.hue else x


def factors(values: Float64[Tensor, " B"], x: Images) -> Factors:
    """One number a picture, where the pictures are."""
    return values.float().to(x.device)[:, None, None, None]


def brightness(x: Images, factor: Factors, top: float | None) -> Images:
    """F v."""
    return clip(x * factor, top)


def contrast(x: Images, factor: Factors, top: float | None) -> Images:
    """M + f (v - m)."""
    return blend(grey(x).mean((1, 2, 3), keepdim=True), x, factor, top)


def saturation(x: Images, factor: Factors, top: float | None) -> Images:
    """G + f (v - g)."""
    return blend(grey(x), x, factor, top)


def grey(x: Images) -> Float32[Tensor, "B 1 H W"]:
    """Luma of three channels, the mean of any other number."""
    if x.shape[1] != 3:
        return x.mean(1, keepdim=True)
    red, green, blue = x.chunk(3, 1)
    return (red * LUMA[0]).add_(green * LUMA[1]).add_(blue * LUMA[2])


def blend(base: Float32[Tensor, "B c h w"], x: Images, factor: Factors, top: float | None) -> Images:
    """Base + f (x - base)."""
    return clip((x - base).mul_(factor).add_(base), top)


def clip(x: Images, top: float | None) -> Images:
    """To [0, top] in place, where there is a top."""
    return x if top is None else x.clamp_(0, top)


def hue(x: Images, turn: Factors) -> Images:
    """Turn every colour by a share of the circle."""
    red, green, blue = x.chunk(3, 1)
    value, least = (pick(pick(red, green), blue) for pick in (torch.maximum, torch.minimum))
    chroma = value - least
    from_green, from_blue = (blue - red).add_(chroma, alpha=2), (red - green).add_(chroma, alpha=4)
    sixth = torch.where(value == red, green - blue, torch.where(value == green, from_green, from_blue))
    sixth.div_(chroma.clamp(min=TINY)).add_(6 * turn)  # grey has no hue, and its chroma of 0 hides any
    sixth.sub_((sixth / 6).floor_().mul_(6))
    y = torch.empty_like(x)
    for channel, (sign, start, middle) in enumerate(((1, -1, 3), (-1, 2, 2), (-1, 2, 4))):
        part = (sixth - middle).abs_().mul_(sign).add_(start).clamp_(0, 1)
        torch.add(part.mul_(chroma), least, out=y[:, channel : channel + 1])
    return y


def noise(x: Images, draws: Draws, axes: Axes, top: float | None) -> Images:
    """Every picture in another light; x is changed."""
    B, C = x.shape[:2]
    assert len(axes.variances) == C, f"axes of {len(axes.variances)} channels for pictures of {C}"
    grey_point = torch.zeros(B, C, 1, 1, dtype=torch.float64)
    drawn = normal(more(draws.of(Block.NOISE)[:, 0], 2 * C))
    shift = colour_noise(grey_point, drawn, axes, std=draws.augment.colour_noise) * (top or 1.0)
    return clip(x.add_(shift.float().to(x.device)), top)


def normal(words: Int64[Tensor, "B M"]) -> Float64[Tensor, "B K"]:
    """Standard normal numbers from pairs of words: sqrt(-2 ln u) cos(2 pi v), u in (0, 1] (Box and Muller 1958)."""
    radius, angle = words[:, ::2] + 1, words[:, 1::2]
    return (-2 * uniform(radius).log()).sqrt() * (2 * torch.pi * uniform(angle)).cos()
