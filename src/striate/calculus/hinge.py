"""Hinge losses: no error once an answer is right by a margin.

    two classes, t = -1 or 1:   l = max(0, m - t x)                       dl/dx = -t if m - t x > 0 else 0
    many classes, y right:      z_c = m - x_y + x_c  for c != y
                                l = (w_y / C) sum_(c != y) max(0, z_c)^p
                                dl/dx_c = (w_y / C) p max(0, z_c)^(p - 1) [z_c > 0],   dl/dx_y = - their sum

m is the margin, p 1 or 2, w the class weights, C the number of classes.  At the kink, z = 0, the slope is 0.  The
many-class loss is torch's MultiMarginLoss (its mean divides by the number of samples, with weights too); Crammer and
Singer 2001 and Weston and Watkins 1999 describe the family.

Shapes: scores (B, C) and target (B,) of int64 for many classes; any shape for two.  The options are torch's, so that
with the error a pullback has seven arguments.

`python -m striate.calculus.hinge` shows an example to check with a pencil.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.base.errors import ConfigError, DataError
from striate.calculus.reduction import check_same_shape, reduce, reduce_pullback

Scores = Float[Tensor, "B C"]
Target = Int[Tensor, " B"]


def binary_hinge(
    scores: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, margin: float = 1.0, reduction: str = "mean"
) -> Float[Tensor, "..."]:
    """Hinge loss of two classes, named -1 and 1.

    >>> binary_hinge(torch.tensor([2.0, 0.5, -1.0]), torch.ones(3), reduction="none").tolist()
    [0.0, 0.5, 2.0]
    """
    check_same_shape("binary_hinge", scores, target)
    return reduce(_positive(margin - target * scores), reduction, scores.numel())


def binary_hinge_pullback(
    dy: Float[Tensor, "..."],
    scores: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    margin: float = 1.0,
    reduction: str = "mean",
) -> Float[Tensor, "*shape"]:
    """dL/dscores: nothing where the margin is kept."""
    check_same_shape("binary_hinge", scores, target)
    dl = reduce_pullback(dy, reduction, scores.numel())
    return torch.where(margin - target * scores > 0, -dl * target, 0)


def multi_class_hinge(
    scores: Scores,
    target: Target,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: Float[Tensor, " C"] | None = None,
    reduction: str = "mean",
) -> Float[Tensor, "..."]:
    """Hinge loss of many classes.

    Args:
        scores: one score a class.
        target: the right class, in [0, C).
        p: 1, or 2 for the squared hinge.
        margin: by how much the right score should lead.
        weight: what a sample of each class counts.
        reduction: mean, sum or none.

    Raises:
        ConfigError: p is neither 1 nor 2.
        DataError: a class index outside [0, C).

    >>> float(multi_class_hinge(torch.tensor([[3.0, 2.5, 1.0]]), torch.tensor([0])) * 3)  # only 2.5 is too near
    0.5
    """
    short = _shortfall(scores, target, p, margin)
    losses = short.pow(p).sum(1) / scores.shape[1]
    return reduce(losses if weight is None else weight[target] * losses, reduction, len(scores))


def multi_class_hinge_pullback(
    dy: Float[Tensor, "..."],
    scores: Scores,
    target: Target,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: Float[Tensor, " C"] | None = None,
    reduction: str = "mean",
) -> Scores:
    """dL/dscores: every score too near is pushed down, the right one up by as much as all of them."""
    short = _shortfall(scores, target, p, margin)
    dl = reduce_pullback(dy, reduction, len(scores)) / scores.shape[1]
    dl = dl if weight is None else dl * weight[target]
    push = dl.reshape(-1, 1) * p * short.pow(p - 1) * (short > 0)
    return push.scatter(1, target.unsqueeze(1), -push.sum(1, keepdim=True))


def _shortfall(scores: Tensor, target: Tensor, p: int, margin: float) -> Tensor:
    """max(0, z), how much each wrong class is too near; 0 for the right one."""
    if p not in (1, 2):
        raise ConfigError("multi_class_hinge", "p", "1 or 2", got=p, fix="1 is the hinge, 2 the squared hinge")
    classes = scores.shape[1]
    wrong = target[(target < 0) | (target >= classes)]
    if wrong.numel():
        fix = f"there are {classes} scores: give one for each class, or correct the labels"
        raise DataError("multi_class_hinge", "every class", f"in [0, {classes})", got=int(wrong[0]), fix=fix)
    right = target.unsqueeze(1)
    return _positive(margin - scores.gather(1, right) + scores).scatter(1, right, 0)


def _positive(z: Tensor) -> Tensor:
    """max(0, z), with the slope 0 at 0: autograd's clamp would take 1."""
    return torch.where(z > 0, z, 0)


def demonstrate() -> str:
    """Three scores, the first class right: the shortfalls, the loss, the gradient."""
    scores, target = torch.tensor([[3.0, 2.5, 1.0]], dtype=torch.float64), torch.tensor([0])
    short = _shortfall(scores, target, 1, 1.0)[0].tolist()
    grad = multi_class_hinge_pullback(torch.ones((), dtype=torch.float64), scores, target)[0].tolist()
    lines = ["score   z = 1 - 3.0 + score   max(0, z)   dL/dscore"]
    lines.append(f"{3.0:>5.1f}   {'(the right class)':>19} {'':>11}   {grad[0]:>9.4f}")
    for score, z, g in zip(scores[0, 1:].tolist(), short[1:], grad[1:], strict=True):
        lines.append(f"{score:>5.1f}   {score - 2:>19.1f}   {z:>9.1f}   {g:>9.4f}")
    lines.append(f"loss = ({short[1]:.1f} + {short[2]:.1f}) / 3 = {float(multi_class_hinge(scores, target)):.4f}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(demonstrate())
