"""Focal loss: cross-entropy that looks away from what is classified well already.

    l_n = - sum_c a_nc (1 - p_nc)^g log p_nc,    p = softmax(logits)

a is the target with weights and smoothing, as in cross-entropy; g >= 0 is the focus: with g = 0 the loss is
cross-entropy, with g = 2 a class right by p = 0.9 costs a hundredth of it.  The mean over a batch divides by what
cross-entropy's divides by.

    dl_n/dlogit_nj = h_nj - p_nj sum_c h_nc        h_nc = a_nc (g (1 - p_nc)^(g - 1) p_nc log p_nc - (1 - p_nc)^g)

Lin, Goyal, Girshick, He and Dollar 2017, arXiv:1708.02002, equation 5 (theirs is for two classes).

Shapes: logits (B, C, ...), the class on axis 1; target (B, ...) of int64, or as the logits; l as (B, ...).

`python -m striate.calculus.focal` shows an example to check with a pencil.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from striate.base.errors import ConfigError
from striate.calculus.cross_entropy import Scores, Target, Weight, attractions
from striate.calculus.reduction import reduce, reduce_pullback
from striate.calculus.softmax import log_softmax


def focal(
    logits: Scores, target: Target, *, gamma: float, weight: Weight = None, label_smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Mean focal loss of logits against class indices or probabilities.

    Args:
        logits: scores before softmax.
        target: the right class, in [0, C), or a probability for each class.
        gamma: the focus, >= 0.
        weight: what a sample of each class counts.
        label_smoothing: the share of the target spread evenly over all classes, in [0, 1].

    Raises:
        ConfigError: gamma or the label smoothing is not one, or the shapes disagree.
        DataError: a class index outside [0, C).

    >>> round(float(focal(torch.zeros(1, 2), torch.tensor([0]), gamma=2.0)), 4)  # a quarter of log 2
    0.1733
    """
    pull, count = _checked(logits, target, gamma, weight, label_smoothing)
    log_p = log_softmax(logits, dim=1)
    away = -torch.expm1(log_p)  # 1 - p, exact also where p is nearly 1
    terms = torch.where(pull == 0, 0, pull * away.pow(gamma) * log_p)  # a masked class: 0 times -inf
    return reduce(-terms.sum(1), "mean", count)


def focal_pullback(
    dy: Float[Tensor, ""],
    logits: Scores,
    target: Target,
    *,
    gamma: float,
    weight: Weight = None,
    label_smoothing: float = 0.0,
) -> Scores:
    """dL/dlogits from dL/dl: each class's slope, less its probability times the sum of all."""
    pull, count = _checked(logits, target, gamma, weight, label_smoothing)
    log_p = log_softmax(logits, dim=1)
    p, away = log_p.exp(), -torch.expm1(log_p)
    bend = gamma * away.pow(gamma - 1) * p * log_p if gamma else 0
    h = torch.where(pull == 0, 0, pull * (torch.where(away > 0, bend, 0) - away.pow(gamma)))
    return reduce_pullback(dy, "mean", count) * (h - p * h.sum(1, keepdim=True))


def _checked(
    logits: Tensor, target: Tensor, gamma: float, weight: Tensor | None, smoothing: float
) -> tuple[Tensor, int | Tensor]:
    if not gamma >= 0:
        raise ConfigError("focal", "gamma", ">= 0", got=gamma, fix="2 is usual; 0 is cross-entropy")
    return attractions(logits, target, weight, smoothing)


def demonstrate() -> str:
    """Two classes, right by much and by little: cross-entropy, focal loss and gradient."""
    one = torch.ones((), dtype=torch.float64)
    lines = ["logits     p right   -log p   (1 - p)^2   loss     dL/dlogits"]
    for logit in (2.0, 0.0, -2.0):
        logits, target = torch.tensor([[logit, 0.0]], dtype=torch.float64), torch.tensor([0])
        p = float(logits.softmax(1)[0, 0])
        loss = float(focal(logits, target, gamma=2.0))
        slope = focal_pullback(one, logits, target, gamma=2.0)[0].tolist()
        plain = -float(log_softmax(logits, dim=1)[0, 0])
        lines.append(
            f"({logit:>2.0f}, 0)    {p:>7.4f}  {plain:>7.4f}  {(1 - p) ** 2:>10.4f}  {loss:>6.4f}  "
            f"({slope[0]:>7.4f}, {slope[1]:>6.4f})"
        )
    lines.append("loss = -log p times (1 - p)^2: what is right by much hardly counts")
    return "\n".join(lines)


if __name__ == "__main__":
    print(demonstrate())
