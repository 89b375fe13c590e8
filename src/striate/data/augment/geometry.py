"""All that moves pixels, as one matrix a picture, sampled once.

    y(p) = x(A p)        A = window . shift . flips . translate . rotate . shear . zoom . policy_1 . policy_2 ...

p = (x, y, 1) counts from the middle of the result, A p from the middle of the stored picture, both in pixels, x to the
right, y down.  Each factor leads from what its step gives back to what it gets, so the steps happen from left to right:

    window      the picture's middle, or a random crop stretched to the result (`moves`)
    shift       (x + dx, y + dy)
    flips       (-x, y), (x, -y)
    translate   (x - t_x w, y - t_y h)
    rotate      (x cos a - y sin a, x sin a + y cos a): counter-clockwise by a
    shear       (x + y tan b, y + x tan c)
    zoom        (x / z, y / z)

Between pixels the value is bilinear; beyond the stored picture everything is `fill`, so a picture rotated within a
larger stored one shows what is there and not black.  Pictures whose matrix is only window,
shift and flips are not read through it but made by `moves`.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Float64, Shaped
from torch import Tensor

from striate.data.augment.draws import Block, Draws
from striate.data.augment.moves import corner, crops

Matrices = Float64[Tensor, "B 3 3"]


def windows(draws: Draws, stored: tuple[int, int], size: tuple[int, int]) -> Matrices:
    """Window, shift and flips: what `moves` does, if it does not have to shift a crop."""
    matrix, shift = _identities(len(draws)), _identities(len(draws))
    if draws.augment.crop_scale < 1:
        top, left, high, wide = crops(draws, stored).double().unbind(1)
        matrix[:, 0, 0], matrix[:, 1, 1] = wide / size[1], high / size[0]
        matrix[:, 0, 2], matrix[:, 1, 2] = left + (wide - stored[1]) / 2, top + (high - stored[0]) / 2
    else:
        i, j = corner(stored, size)
        matrix[:, 0, 2], matrix[:, 1, 2] = j + (size[1] - stored[1]) / 2, i + (size[0] - stored[0]) / 2
    shift[:, 0, 2], shift[:, 1, 2] = draws.dx, draws.dy
    return matrix @ shift @ _flips(draws)


def _identities(count: int) -> Matrices:
    return torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)


def affine(draws: Draws, size: tuple[int, int]) -> Matrices:
    """Translate, rotate, shear and zoom about the middle of the result."""
    a, drawn = draws.augment, draws.signed(Block.AFFINE)
    (angle, zoom, shear_x, shear_y), (down, right) = drawn[:, 0].unbind(1), drawn[:, 1, :2].unbind(1)
    degree = torch.pi / 180
    turned = rotation(angle * a.rotate * degree)
    sheared = shear((shear_x * a.shear * degree).tan(), (shear_y * a.shear * degree).tan())
    zoomed = torch.eye(3, dtype=torch.float64) / (1 + a.zoom * zoom)[:, None, None]
    zoomed[:, 2, 2] = 1
    return translation(right * a.translate * size[1], down * a.translate * size[0]) @ turned @ sheared @ zoomed


def rotation(angle: Float64[Tensor, " B"]) -> Matrices:
    """Counter-clockwise, in radians."""
    matrix = _identities(len(angle))
    matrix[:, 0, 0] = matrix[:, 1, 1] = angle.cos()
    matrix[:, 1, 0], matrix[:, 0, 1] = angle.sin(), -angle.sin()
    return matrix


def shear(along_x: Float64[Tensor, " B"], along_y: Float64[Tensor, " B"]) -> Matrices:
    """Pixels of slant a pixel."""
    matrix = _identities(len(along_x))
    matrix[:, 0, 1], matrix[:, 1, 0] = along_x, along_y
    return matrix


def translation(right: Float64[Tensor, " B"], down: Float64[Tensor, " B"]) -> Matrices:
    """In pixels."""
    matrix = _identities(len(right))
    matrix[:, 0, 2], matrix[:, 1, 2] = -right, -down
    return matrix


def _flips(draws: Draws) -> Matrices:
    matrix = _identities(len(draws))
    for axis, flip in enumerate((draws.flip, draws.vertical_flip)):
        if flip is not None:
            matrix[:, axis, axis] = 1 - 2 * flip.double()
    return matrix


def sample(
    images: Shaped[Tensor, "B C H W"],
    matrices: Matrices,
    size: tuple[int, int],
    fill: int | float,
    displacement: Float32[Tensor, "B 2 h w"] | None = None,
) -> Float32[Tensor, "B C h w"]:
    """y(p) = x(A (p + d(p))), in float32.

    Args:
        images: uint8 or float32, on any device.
        matrices: A, on the CPU.
        size: (h, w) of the results in pixels.
        fill: what lies outside.
        displacement: d = (x, y), in pixels of the result.
    """
    stored = torch.tensor(images.shape[:1:-1], dtype=torch.float64)  # W, H
    lead = (matrices[:, :2] * (2 / stored)[:, None]).float().to(images.device)  # to torch's -1 .. 1
    down, right = (torch.arange(n, device=images.device) - (n - 1) / 2 for n in size)
    grid = torch.empty(len(images), *size, 2, device=images.device)
    for axis in range(2):
        from_x, from_y, start = (lead[:, axis, term, None, None] for term in range(3))
        torch.add(from_x * right + start, from_y * down[:, None], out=grid[..., axis])
        if displacement is not None:
            grid[..., axis] += from_x * displacement[:, 0]
            grid[..., axis] += from_y * displacement[:, 1]
    x = images.to(torch.float32, memory_format=torch.contiguous_format)
    if fill:
        return F.grid_sample(x - fill, grid, align_corners=False).add_(fill)
    return F.grid_sample(x, grid, align_corners=False)
