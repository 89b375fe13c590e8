"""All that moves pixels, as one matrix a picture, sampled once.

    y(p) = x(A p)        A = window . shift . flips . translate . rotate . shear . zoom . policy_1 . policy_2 ...

p = (x, y, 1) counts from the middle of the result, A p from the middle of the stored picture, both in pixels, x to the
right, y down.  Each factor leads from what its step gives back to what it gets, so the steps happen from left to right:

    window      the picture's middle, or a random crop stretched to the result (Szegedy et al. 2014, section 6):
                share of the area uniform in [crop_scale, 1], aspect ratio log-uniform in [3/4, 4/3], place uniform
    shift       (x + dx, y + dy)
    flips       (-x, y), (x, -y)
    translate   (x - t_x w, y - t_y h)
    rotate      (x cos a - y sin a, x sin a + y cos a): counter-clockwise by a
    shear       (x + y tan b, y + x tan c)
    zoom        (x / z, y / z)

Between pixels the value is bilinear; beyond the stored picture everything is `fill`, so a picture rotated within a
larger stored one shows what is there and not black.  Pictures whose matrix moves whole pixels only are copied.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Float64, Int64, Shaped
from torch import Tensor

from striate.data.augment.boxes import box
from striate.data.augment.draws import Block, Draws
from striate.data.augment.moves import corner

Matrices = Float64[Tensor, "B 3 3"]
RATIO = 4 / 3  # of a random crop's sides


def exact_moves(draws: Draws, stored: tuple[int, int], size: tuple[int, int]) -> Matrices:
    """Window in the middle, shift and flips: what `moves` does."""
    matrix = torch.eye(3, dtype=torch.float64).repeat(len(draws), 1, 1)
    top, left = corner(stored, size)
    matrix[:, 0, 2] = draws.dx + left - (stored[1] - size[1]) / 2
    matrix[:, 1, 2] = draws.dy + top - (stored[0] - size[0]) / 2
    return matrix @ _flips(draws)


def crops(draws: Draws, stored: tuple[int, int], size: tuple[int, int]) -> Matrices:
    """A random crop stretched to the result, shift and flips."""
    area, place, y, x = draws.uniform(Block.CROP)[:, 0].unbind(1)
    share = draws.augment.crop_scale + (1 - draws.augment.crop_scale) * area
    high, wide = box(share, place, stored, RATIO)
    matrix = torch.eye(3, dtype=torch.float64).repeat(len(draws), 1, 1)
    matrix[:, 0, 0], matrix[:, 1, 1] = wide / size[1], high / size[0]
    matrix[:, 0, 2], matrix[:, 1, 2] = (x - 0.5) * (stored[1] - wide), (y - 0.5) * (stored[0] - high)
    shift = torch.eye(3, dtype=torch.float64).repeat(len(draws), 1, 1)
    shift[:, 0, 2], shift[:, 1, 2] = draws.dx, draws.dy
    return matrix @ shift @ _flips(draws)


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
    matrix = torch.eye(3, dtype=torch.float64).repeat(len(angle), 1, 1)
    matrix[:, 0, 0] = matrix[:, 1, 1] = angle.cos()
    matrix[:, 1, 0], matrix[:, 0, 1] = angle.sin(), -angle.sin()
    return matrix


def shear(along_x: Float64[Tensor, " B"], along_y: Float64[Tensor, " B"]) -> Matrices:
    """Pixels of slant a pixel."""
    matrix = torch.eye(3, dtype=torch.float64).repeat(len(along_x), 1, 1)
    matrix[:, 0, 1], matrix[:, 1, 0] = along_x, along_y
    return matrix


def translation(right: Float64[Tensor, " B"], down: Float64[Tensor, " B"]) -> Matrices:
    """In pixels."""
    matrix = torch.eye(3, dtype=torch.float64).repeat(len(right), 1, 1)
    matrix[:, 0, 2], matrix[:, 1, 2] = -right, -down
    return matrix


def _flips(draws: Draws) -> Matrices:
    matrix = torch.eye(3, dtype=torch.float64).repeat(len(draws), 1, 1)
    for axis, flip in enumerate((draws.flip, draws.vertical_flip)):
        if flip is not None:
            matrix[:, axis, axis] = 1 - 2 * flip.double()
    return matrix


def inexact(matrices: Matrices, moves: Matrices) -> Int64[Tensor, " M"]:
    """The pictures that are more than moved by whole pixels."""
    return (matrices != moves).flatten(1).any(1).nonzero()[:, 0]


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
