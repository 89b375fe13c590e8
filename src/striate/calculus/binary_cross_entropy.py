"""Binary cross-entropy: a yes-or-no question for each number.

Bishop 1995, "Neural Networks for Pattern Recognition", section 6.7.

    from logits:         l     = (1 - t) x + (1 + (w - 1) t) log(1 + e^-x)
                         dl/dx = (1 - t) - (1 + (w - 1) t) s(-x)
    from probabilities:  l     = - w t log p - (1 - t) log(1 - p)
                         dl/dp = (p (1 - t) - w t (1 - p)) / (p (1 - p))

t in [0, 1] is the target, s the sigmoid, w (`pos_weight`) what a yes counts against a no.  Without w, dl/dx = s(x) - t.
Nothing is lost of large logits: log(e^0 + e^-x) is taken in one piece.  From probabilities we do as torch does: a
logarithm is not taken below -100, and in the derivative p (1 - p) not below 1e-12 (autograd through the formula would
say NaN for p of 0 and 1).  Any shape.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from striate.calculus.activations import sigmoid
from striate.calculus.pencil import grid, number
from striate.calculus.reduction import check_same_shape, reduce, reduce_pullback

LOWEST_LOG = -100.0  # torch's: a wrong answer given with certainty costs 100 nats, not infinity
SMALLEST_PRODUCT = 1e-12  # torch's floor of p (1 - p) in the derivative

Numbers = Float[Tensor, "*shape"]
PosWeight = Float[Tensor, "..."] | None  # broadcast against the numbers


def binary_cross_entropy_with_logits(
    logits: Numbers, target: Numbers, *, pos_weight: PosWeight = None, reduction: str = "mean"
) -> Float[Tensor, "..."]:
    """Loss of logits; `pos_weight` broadcasts, so (C,) for (B, C).

    >>> round(float(binary_cross_entropy_with_logits(torch.zeros(1), torch.ones(1))), 4)  # log 2
    0.6931
    """
    check_same_shape("binary_cross_entropy", logits, target)
    log_one_plus = torch.logaddexp(torch.zeros_like(logits), -logits)
    losses = (1 - target) * logits + _yes_counts(target, pos_weight) * log_one_plus
    return reduce(losses, reduction, logits.numel())


def binary_cross_entropy_with_logits_pullback(
    dy: Float[Tensor, "..."],
    logits: Numbers,
    target: Numbers,
    *,
    pos_weight: PosWeight = None,
    reduction: str = "mean",
) -> Numbers:
    """dL/dlogits."""
    check_same_shape("binary_cross_entropy", logits, target)
    dl = reduce_pullback(dy, reduction, logits.numel())
    return dl * (1 - target - _yes_counts(target, pos_weight) * sigmoid(-logits))


def _yes_counts(target: Tensor, pos_weight: Tensor | None) -> Tensor:
    """1 + (w - 1) t."""
    return torch.ones_like(target) if pos_weight is None else 1 + (pos_weight - 1) * target


def binary_cross_entropy(
    p: Numbers, target: Numbers, *, pos_weight: PosWeight = None, reduction: str = "mean"
) -> Float[Tensor, "..."]:
    """Loss of probabilities, those of the sigmoid for example."""
    check_same_shape("binary_cross_entropy", p, target)
    yes = target if pos_weight is None else pos_weight * target
    logs = p.log().clamp(min=LOWEST_LOG), torch.log1p(-p).clamp(min=LOWEST_LOG)
    return reduce(-yes * logs[0] - (1 - target) * logs[1], reduction, p.numel())


def binary_cross_entropy_pullback(
    dy: Float[Tensor, "..."],
    p: Numbers,
    target: Numbers,
    *,
    pos_weight: PosWeight = None,
    reduction: str = "mean",
) -> Numbers:
    """dL/dp."""
    check_same_shape("binary_cross_entropy", p, target)
    yes = target if pos_weight is None else pos_weight * target
    slope = (p * (1 - target) - yes * (1 - p)) / (p * (1 - p)).clamp(min=SMALLEST_PRODUCT)
    return reduce_pullback(dy, reduction, p.numel()) * slope


def demonstrate() -> str:
    """Three yes-or-no questions with round probabilities, from probabilities and from logits, both ways."""
    p, t = torch.tensor([0.8, 0.2, 0.5]), torch.tensor([1.0, 1.0, 0.0])
    x, one = (p / (1 - p)).log(), torch.ones(())
    each = binary_cross_entropy(p, t, reduction="none")
    mean = binary_cross_entropy_with_logits(x, t)
    return "\n".join(
        [
            "BINARY CROSS-ENTROPY   l = -log p where the answer is yes, -log(1 - p) where it is no",
            f"  p              {grid(p)}",
            f"  t              {grid(t)}",
            f"  l              {grid(each)}   = -log 0.8, -log 0.2, -log(1 - 0.5)",
            f"  L = their mean = ({' + '.join(number(v) for v in each.tolist())}) / 3 = {number(mean.item())}",
            "BACKWARD   dl/dp = -1/p for a yes, 1/(1 - p) for a no; each a third of L",
            f"  dL/dp          {grid(binary_cross_entropy_pullback(one, p, t))}   = -1/0.8, -1/0.2, 1/0.5, over 3",
            "FROM LOGITS   x = log(p / (1 - p)), so p = sigmoid(x)",
            f"  x              {grid(x)}   = log 4, -log 4, 0",
            f"  L              {number(mean.item())}   the same",
            f"  dL/dx          {grid(binary_cross_entropy_with_logits_pullback(one, x, t))}   = (p - t) / 3",
            "POS_WEIGHT 3   a yes counts three times",
            f"  l              {grid(binary_cross_entropy(p, t, pos_weight=3 * one, reduction='none'))}",
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
