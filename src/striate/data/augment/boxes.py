"""A rectangle of a drawn share of the picture's area and a drawn aspect ratio.

    w = sqrt(s r W H)        h = sqrt(s W H / r)        r = low^(1 - u) high^u

s is the share, r = w / h the aspect ratio, u uniform in [0, 1).  [low, high] is the part of the allowed ratios with
which the rectangle fits: s W / H <= r <= W / (s H).  So nothing has to be drawn again, as the papers do until it fits.
Where no allowed ratio fits (a picture much longer than wide), the nearest is taken and the share is cut to what fits.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

Numbers = Float64[Tensor, " B"]


def box(share: Numbers, place: Numbers, size: tuple[int, int], ratio: float) -> tuple[Numbers, Numbers]:
    """The sides (h, w) in pixels, not rounded.

    Args:
        share: of the area, in (0, 1].
        place: between the least and the largest ratio that fits, in [0, 1).
        size: (H, W) of the picture.
        ratio: w / h lies in [1 / ratio, ratio].
    """
    H, W = size
    least, most = torch.full_like(share, 1 / ratio), torch.full_like(share, ratio)
    low = torch.maximum(least, share * W / H).clamp(max=ratio)
    high = torch.minimum(most, W / (share * H)).clamp(min=1 / ratio)
    aspect = low * (high / low) ** place
    share = torch.minimum(share, torch.minimum(aspect * H / W, W / (aspect * H)))
    area = share * W * H
    return (area / aspect).sqrt().clamp(max=H), (area * aspect).sqrt().clamp(max=W)
