"""Elastic distortion: every pixel is displaced, neighbours alike.

    d = alpha (G_sigma * n) / (|G_sigma| s)

n is uniform noise of standard deviation s, one number for each pixel and axis, G_sigma a Gaussian cut at 3 sigma, and
|G| the root of the sum of its squares: so alpha is the standard deviation of a displacement in pixels, at every place,
for any sigma.  The noise goes on beyond the picture's border as far as the Gaussian reaches.

Simard, Steinkraus and Platt 2003 smooth noise in [-1, 1] and multiply by their alpha; ours is theirs times
0.163 / sigma, so their 34 with sigma 4 is 1.39 pixels here.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64
from torch import Tensor

from striate.data.augment.draws import more

BYTES = 4  # in a word
SPREAD = ((256**2 - 1) / 12) ** 0.5  # standard deviation of 0 .. 255


def displacements(
    words: Int64[Tensor, "B 4"], size: tuple[int, int], alpha: float, sigma: float
) -> Float32[Tensor, "B 2 h w"]:
    """(x, y) in pixels, for every pixel of the result.

    Args:
        words: of each picture, on the device where the displacements are wanted.
        size: (h, w) in pixels.
        alpha: standard deviation of a displacement in pixels.
        sigma: of the Gaussian, in pixels.
    """
    reach = round(3 * sigma)
    high, wide = (side + 2 * reach for side in size)
    noise = _noise(words, 2 * high * wide).view(2 * len(words), 1, high, wide)
    offsets = torch.arange(-reach, reach + 1, device=words.device, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.square().sum().sqrt()).float()  # each axis by its own root: together |G| is 1
    smooth = F.conv2d(F.conv2d(noise, kernel[None, None, :, None]), kernel[None, None, None, :])
    return smooth.view(len(words), 2, *size) * (alpha / SPREAD)


def _noise(words: Int64[Tensor, "B 4"], count: int) -> Float32[Tensor, "B M"]:
    """Bytes less their mean."""
    drawn = more(words, -(-count // BYTES))
    parts = torch.stack([drawn >> 8 * place & 255 for place in range(BYTES)], -1).flatten(1)[:, :count]
    return parts.float() - 127.5
