"""Cross-entropy: the surprise, in nats, at the right class.

    l_n = - sum_c a_nc log p_nc,    p = softmax(logits)        a_nc = w_c ((1 - s) t_nc + s / C)

t is the target: 1 at the right class and else 0, or any probabilities; w are the class weights (1 if none), s is the
label smoothing (Szegedy et al. 2016, arXiv:1512.00567, section 7), C the number of classes.  The mean over a batch is
torch's: with class indices it divides by the sum of the weights of the right classes, sum_n w_(y_n), with target
probabilities by the number of samples.

    from logits:         dl_n/dlogit_nc = p_nc sum_j a_nj - a_nc        without weights: p_nc - t_nc, so
                         the mean over B samples gives (p - t) / B
    from probabilities:  dl_n/dp_nc = - a_nc / p_nc

Use the logits: log softmax in one piece is exact where p would round to 0.  From probabilities, a right class of
probability 0 costs infinity, which is the truth; a term with a = 0 is 0.

Shapes: logits and probabilities (B, C, ...), the class on axis 1; target (B, ...) of int64, or as the logits; l as
(B, ...).

`python -m striate.calculus.cross_entropy` shows an example to check with a pencil.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.base.errors import ConfigError, DataError
from striate.calculus.reduction import reduce, reduce_pullback
from striate.calculus.softmax import log_softmax, softmax

Scores = Float[Tensor, "B C *rest"]
Target = Int[Tensor, "B *rest"] | Float[Tensor, "B C *rest"]
Weight = Float[Tensor, " C"] | None


def cross_entropy(
    logits: Scores, target: Target, *, weight: Weight = None, label_smoothing: float = 0.0, reduction: str = "mean"
) -> Float[Tensor, "..."]:
    """Loss of logits against class indices or probabilities.

    Args:
        logits: scores before softmax.
        target: the right class, in [0, C), or a probability for each class.
        weight: what a sample of each class counts.
        label_smoothing: the share of the target spread evenly over all classes, in [0, 1].
        reduction: mean, sum or none.

    Raises:
        ConfigError: the label smoothing or the reduction is not one, or the shapes disagree.
        DataError: a class index outside [0, C).

    >>> round(float(cross_entropy(torch.zeros(1, 10), torch.tensor([3]))), 4)  # log 10: a blind guess
    2.3026
    """
    attraction, count = attractions(logits, target, weight, label_smoothing)
    terms = torch.where(attraction == 0, 0, attraction * log_softmax(logits, dim=1))  # a masked class: 0 times -inf
    return reduce(-terms.sum(1), reduction, count)


def cross_entropy_pullback(
    dy: Float[Tensor, "..."],
    logits: Scores,
    target: Target,
    *,
    weight: Weight = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Scores:
    """dL/dlogits from dL/dl: the probabilities less the target."""
    attraction, count = attractions(logits, target, weight, label_smoothing)
    dl = _beside(reduce_pullback(dy, reduction, count))
    return dl * (softmax(logits, dim=1) * attraction.sum(1, keepdim=True) - attraction)


def cross_entropy_from_probabilities(
    p: Scores, target: Target, *, weight: Weight = None, label_smoothing: float = 0.0, reduction: str = "mean"
) -> Float[Tensor, "..."]:
    """Loss of probabilities, those of softmax for example; the other arguments as in `cross_entropy`."""
    attraction, count = attractions(p, target, weight, label_smoothing)
    return reduce(-torch.xlogy(attraction, p).sum(1), reduction, count)  # xlogy(0, 0) = 0


def cross_entropy_from_probabilities_pullback(
    dy: Float[Tensor, "..."],
    p: Scores,
    target: Target,
    *,
    weight: Weight = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Scores:
    """dL/dp from dL/dl, each probability on its own: that they sum to 1 is softmax's business."""
    attraction, count = attractions(p, target, weight, label_smoothing)
    dl = _beside(reduce_pullback(dy, reduction, count))
    return torch.where(attraction == 0, 0, -dl * attraction / p)


def attractions(scores: Tensor, target: Tensor, weight: Tensor | None, smoothing: float) -> tuple[Tensor, int | Tensor]:
    """How strongly each log-probability is pulled up, a of (B, C, ...), and what the mean divides by."""
    if not 0 <= smoothing <= 1:
        raise ConfigError("cross_entropy", "label_smoothing", "in [0, 1]", got=smoothing, fix="0.1 is usual")
    classes = scores.shape[1]
    _check_shapes(scores, target, weight)
    w = (scores.new_ones(classes) if weight is None else weight).reshape(-1, *[1] * (scores.ndim - 2))  # C 1 ...
    indices = not target.is_floating_point()
    t = _one_hot(target, scores) if indices else target
    count = (w * t).sum() if indices else t.numel() // classes
    return w * ((1 - smoothing) * t + smoothing / classes), count


def _check_shapes(scores: Tensor, target: Tensor, weight: Tensor | None) -> None:
    shape = scores.shape if target.is_floating_point() else (scores.shape[0], *scores.shape[2:])
    if target.shape != shape:
        fix = "give one class number a sample, or one probability a class and sample"
        raise ConfigError("cross_entropy", "target", f"of shape {tuple(shape)}", got=tuple(target.shape), fix=fix)
    if weight is not None and weight.shape != scores.shape[1:2]:
        fix = "give one number a class"
        raise ConfigError(
            "cross_entropy", "weight", f"of shape {tuple(scores.shape[1:2])}", got=tuple(weight.shape), fix=fix
        )


def _one_hot(target: Tensor, scores: Tensor) -> Tensor:
    """Class indices (B, ...) -> 1 at the class and 0 elsewhere, (B, C, ...)."""
    classes = scores.shape[1]
    wrong = target[(target < 0) | (target >= classes)]
    if wrong.numel():
        fix = f"the network has {classes} outputs: give it one for each class, or correct the labels"
        raise DataError("cross_entropy", "every class", f"in [0, {classes})", got=int(wrong[0]), fix=fix)
    return torch.zeros_like(scores).scatter(1, target.long().unsqueeze(1), 1)


def _beside(dl: Tensor) -> Tensor:
    """The errors of the losses (B, ...) shaped to multiply (B, C, ...); a single number stays one."""
    return dl.unsqueeze(1) if dl.ndim else dl


def demonstrate() -> str:
    """Three logits, the first class right: loss and gradient."""
    logits = torch.tensor([[2.0, 1.0, 0.0]], dtype=torch.float64)
    target, one = torch.tensor([0]), torch.ones((), dtype=torch.float64)
    p, grad = softmax(logits, dim=1)[0].tolist(), cross_entropy_pullback(one, logits, target)[0].tolist()
    loss = float(cross_entropy(logits, target))
    lines = ["logit       p     t   dL/dlogit = p - t"]
    columns = zip(logits[0].tolist(), p, (1, 0, 0), grad, strict=True)
    lines += [f"{x:>5.0f}  {a:>6.4f}  {b:>4}  {c:>10.4f}" for x, a, b, c in columns]
    lines.append(f"loss = -log {p[0]:.4f} = {loss:.4f}")
    smooth = float(cross_entropy(logits, target, label_smoothing=0.3))
    weights = f"0.8 * {loss:.4f} + 0.1 * {loss + 1:.4f} + 0.1 * {loss + 2:.4f}"
    lines.append(f"smoothed by 0.3, t = (0.8, 0.1, 0.1): loss = {weights} = {smooth:.4f}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(demonstrate())
