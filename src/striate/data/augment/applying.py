"""Apply what was drawn, in one order.

    1. geometry (`moves`, `geometry`, `elastic`)       all in one step, pixels read once
    2. the policy's operations on values (`policy`, `tone`)
    3. brightness, contrast, saturation, hue, then colour noise (`colour`)
    4. erasing (`erasing`)

MixUp and CutMix (`mixing`) come last, on the network's input.
"""

import torch
from jaxtyping import Float32, Shaped
from torch import Tensor

from striate.calculus.whitening import Axes
from striate.data.augment import colour, geometry
from striate.data.augment.draws import Block, Draws
from striate.data.augment.elastic import displacements
from striate.data.augment.erasing import erased
from striate.data.augment.moves import cropped, moved
from striate.data.augment.policy import Operations, operations, policy_matrices, recolour

TOGETHER = 1_200_000  # numbers that a CPU's cache holds from one operation to the next


def apply(
    images: Shaped[Tensor, "B C H W"],
    draws: Draws,
    fill: int | float = 0,
    *,
    size: tuple[int, int] | None = None,
    top: float | None = None,
    axes: Axes | None = None,
) -> Shaped[Tensor, "B C h w"]:
    """Apply what was drawn, one draw a picture; a picture's result depends on no other.

    Args:
        images: uint8 or float32, on any device, best with channels last in memory; they stay as they are.
        draws: as many as pictures.
        fill: what comes in from outside, in the pictures' units; 0 is black.
        size: (h, w) of the results in pixels, no larger than the pictures unless they are cropped; theirs if None.
        top: the value of white of float32 pictures, for example 65535; None if they have no range, then nothing is
            clipped.  Bytes have 255.
        axes: of `colour.colour_axes`, for colour noise.

    Returns:
        Where pixels are only moved, cropped or erased, the pictures' type, channels last in memory (the given ones
        where nothing can change); otherwise float32 in the pictures' units, not rounded.
    """
    assert len(draws) == len(images), f"{len(draws)} draws for {len(images)} pictures"
    a, shape = draws.augment, size or (images.shape[2], images.shape[3])
    assert axes is not None or not a.colour_noise, "colour noise needs axes"
    white = 255.0 if images.dtype == torch.uint8 else top
    if not (a.resamples or a.recolours):
        y = made(images, draws, shape, fill)
        return erased(y.clone() if y is images else y, draws, white) if a.erase else y
    y = torch.empty(*images.shape[:2], *shape, device=images.device)
    count = max(1, TOGETHER // y[0].numel()) if images.device.type == "cpu" and len(y) else max(1, len(y))
    for start in range(0, len(y), count):
        part = slice(start, start + count)
        y[part] = _computed(images[part], draws[part], fill, shape, white, axes)
    return y


def _computed(
    images: Shaped[Tensor, "B C H W"],
    draws: Draws,
    fill: int | float,
    size: tuple[int, int],
    top: float | None,
    axes: Axes | None,
) -> Float32[Tensor, "B C h w"]:
    a = draws.augment
    drawn = None if a.policy == "none" else operations(draws)
    x = _placed(images, draws, drawn, size, fill)
    if drawn is not None:
        assert top is not None, "a policy needs a range: check() says so"
        x = recolour(x, drawn, top)
    if a.jitters:
        x = colour.jitter(x, draws, top)
    if axes is not None and a.colour_noise:
        x = colour.noise(x, draws, axes, top)
    return erased(x, draws, top) if a.erase else x


def _placed(
    images: Shaped[Tensor, "B C H W"],
    draws: Draws,
    drawn: Operations | None,
    size: tuple[int, int],
    fill: int | float,
) -> Float32[Tensor, "B C h w"]:
    """Geometry, in new memory: through their matrices go all pictures, or those that the policy bends."""
    a, stored = draws.augment, (images.shape[2], images.shape[3])
    if a.resamples:
        displacement = None
        if a.elastic:
            words = draws.of(Block.ELASTIC)[:, 0].to(images.device)
            displacement = displacements(words, size, a.elastic, a.elastic_sigma)
        return geometry.sample(images, matrices(draws, drawn, stored, size), size, fill, displacement)
    x = made(images, draws, size, fill).to(torch.float32, memory_format=torch.contiguous_format, copy=True)
    if drawn is not None:
        bent = matrices(draws, drawn, stored, size)
        rows = (bent != geometry.windows(draws, stored, size)).flatten(1).any(1).nonzero()[:, 0]
        place = rows.to(images.device)
        x[place] = geometry.sample(images[place], bent[rows], size, fill)
    return x


def made(
    images: Shaped[Tensor, "B C H W"], draws: Draws, size: tuple[int, int], fill: int | float
) -> Shaped[Tensor, "B C h w"]:
    """Window or crop, shift and flips."""
    return cropped(images, draws, size) if draws.augment.crop_scale < 1 else moved(images, draws, size, fill)


def matrices(
    draws: Draws, drawn: Operations | None, stored: tuple[int, int], size: tuple[int, int]
) -> geometry.Matrices:
    """Where each pixel of a result comes from (`geometry`), the displacements of `elastic` apart.

    Args:
        draws: what was drawn.
        drawn: what of it the policy made its operations, if there is a policy.
        stored: (H, W) of the pictures.
        size: (h, w) of the results.
    """
    total = geometry.windows(draws, stored, size)
    if draws.augment.warps:
        total = total @ geometry.affine(draws, size)
    return total if drawn is None else total @ policy_matrices(drawn, size)
