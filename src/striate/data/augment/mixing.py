"""MixUp and CutMix: pictures and labels mixed in pairs.

    MixUp     x = l x_a + (1 - l) x_b                   target = l t_a + (1 - l) t_b
    CutMix    x = x_b within a rectangle, x_a outside   target = the same, l the true share of pixels outside

l ~ Beta(alpha, alpha) by its inverse distribution function.  CutMix's rectangle has the sides H sqrt(1 - l) and
W sqrt(1 - l), its middle anywhere, and is cut where it leaves the picture.  Where both are on, each picture gets one of
them by a drawn coin.

b is the neighbour of a within pairs (0, 1), (2, 3), ...; the last of an odd batch takes the one before it.  The order
of an epoch is random, so any fixed pairing is; and with pairs of neighbours a batch that several processes share at
even places is mixed as one process would.  Each of a pair has its own l.

Zhang, Cisse, Dauphin and Lopez-Paz 2017, arXiv:1710.09412; Yun et al. 2019, arXiv:1905.04899.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from striate.data.augment.draws import Block, Draws

Inputs = Float32[Tensor, "B C H W"]
Targets = Float32[Tensor, "B K"]


def mix(
    inputs: Inputs, labels: Int64[Tensor, " B"] | Float[Tensor, "B K"], draws: Draws, num_classes: int
) -> tuple[Inputs, Targets]:
    """Mix a batch with itself.

    Args:
        inputs: normalised or not, on any device; they stay as they are.
        labels: class numbers, or targets already: several labels a picture, or smoothed ones.
        draws: as many as pictures.
        num_classes: K.

    Returns:
        New inputs and one soft target a picture; the given inputs where neither is on.
    """
    assert len(draws) == len(inputs) == len(labels), f"{len(draws)} draws, {len(inputs)} inputs, {len(labels)} labels"
    targets = labels.float() if labels.is_floating_point() else F.one_hot(labels, num_classes).float()
    if not (draws.augment.mixes and len(inputs)):
        return inputs, targets
    pixels, share = shares(draws, (inputs.shape[2], inputs.shape[3]), inputs.device)
    other = partners(len(inputs)).to(inputs.device)
    mixed = inputs[other].sub_(inputs).mul_(1 - pixels).add_(inputs)
    if draws.augment.cutmix:  # a + (b - a) is not b to the last bit
        mixed = torch.where(pixels == 0, inputs[other], mixed)
    own = share.float().to(inputs.device)[:, None]
    return mixed, own * targets + (1 - own) * targets[other]


def partners(count: int) -> Int64[Tensor, " B"]:
    """Whom each picture is mixed with."""
    return (torch.arange(count) ^ 1).clamp(max=max(0, count - 2) if count % 2 else count)


def shares(
    draws: Draws, size: tuple[int, int], device: torch.device
) -> tuple[Float32[Tensor, "B 1 h w"], Float64[Tensor, " B"]]:
    """The picture's own share at each pixel, and over all of them."""
    a, drawn = draws.augment, draws.uniform(Block.MIX)[:, 0]
    mixup, cut = (beta_quantile(alpha, drawn[:, 1]) for alpha in (a.mixup, a.cutmix))
    if not a.cutmix:
        return mixup.float().to(device)[:, None, None, None], mixup
    edges = rectangles(cut, drawn[:, 2:], size)
    (top, bottom), (left, right) = edges
    outside = 1 - ((bottom - top) * (right - left)).double() / (size[0] * size[1])
    i, j = (torch.arange(n, device=device) for n in size)
    top, bottom, left, right = (edge.to(device)[:, None] for edge in (top, bottom, left, right))
    inside = ((i >= top) & (i < bottom))[:, :, None] & ((j >= left) & (j < right))[:, None]
    kept = (~inside).float()[:, None]
    if not a.mixup:
        return kept, outside
    coin = drawn[:, 0] < 0.5
    flat = mixup.float().to(device)[:, None, None, None]
    return torch.where(coin.to(device)[:, None, None, None], kept, flat), torch.where(coin, outside, mixup)


Edges = tuple[Int64[Tensor, " B"], Int64[Tensor, " B"]]


def rectangles(
    own: Float64[Tensor, " B"], middle: Float64[Tensor, "B 2"], size: tuple[int, int]
) -> tuple[Edges, Edges]:
    """(first, last + 1) of the rows and of the columns that the partner gives, in pixels."""
    edges = []
    for axis, side in enumerate(size):
        half = (side * (1 - own).clamp(min=0).sqrt()).long() // 2
        centre = (middle[:, axis] * side).long()
        edges.append(((centre - half).clamp(min=0), (centre + half).clamp(max=side)))
    return edges[0], edges[1]


def beta_quantile(alpha: float, probability: Float64[Tensor, " B"]) -> Float64[Tensor, " B"]:
    """The number that Beta(alpha, alpha) stays below with this probability; 1, nothing mixed, if alpha is 0."""
    if not alpha:
        return torch.ones_like(probability)
    from scipy.special import betaincinv  # comes with scikit-learn; half a second, for those who mix

    return torch.from_numpy(betaincinv(alpha, alpha, probability.numpy())).clamp(0, 1)
