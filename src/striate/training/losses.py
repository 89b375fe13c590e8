"""What is minimised, for each task: a mean loss, and what a batch counts in it.

    classify      cross_entropy   - log softmax(x)_y, with a focus the focal loss of Lin et al. 2017, arXiv:1708.02002
                  hinge           (1/C) sum_(c != y) max(0, 1 - x_y + x_c)          Crammer and Singer 2001
                  mse             sum_c (softmax(x)_c - [c = y])^2                  Brier 1950, Mon. Weather Rev. 78:1
    multilabel    bce             - t log s(x) - (1 - t) log(1 - s(x)), mean over the labels; s is the sigmoid
    regress       mse, mae        (y - t)^2, |y - t|, mean over the numbers
                  huber           e^2 / 2 up to |e| = delta, then delta (|e| - delta / 2)      Huber 1964
    segment       cross_entropy   of every pixel
    reconstruct   mse, mae        mean over the numbers of a sample

    balanced weights    w_c = N / (C n_c)        n_c of N training samples (or pixels) are of class c

so that the classes count alike in all and a sample counts 1 on average (scikit-learn's "balanced"; King and Zeng 2001).
The mean of a weighted cross-entropy divides by the weights of the right classes, so that is what its batches count;
against probabilities it divides by the samples, as in torch.

The formulas are those of `calculus`, taken here through torch's kernels, in float32 at least.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from striate.base.errors import ConfigError
from striate.calculus.focal import focal
from striate.training.engine import Criterion, Objective


def class_weights(asked: str | Sequence[float], counts: Sequence[int]) -> Float[Tensor, " C"] | None:
    """The weight of every class, or None where all count alike.

    Args:
        asked: "none", "balanced", or a number a class.
        counts: training samples, or pixels, of every class, each > 0.

    Raises:
        ConfigError: not as many numbers as classes.

    >>> class_weights("balanced", [30, 10]).tolist()
    [0.6666666865348816, 2.0]
    """
    if asked == "none":
        return None
    if asked == "balanced":
        return torch.tensor([sum(counts) / (len(counts) * count) for count in counts])
    if len(asked) != len(counts):
        fix = "give one number a class, in the order of the classes in data.json"
        raise ConfigError("loss", "class_weights", f"{len(counts)} numbers", got=f"{len(asked)}", fix=fix)
    return torch.tensor(asked)


def class_loss(*, label_smoothing: float, weights: Float[Tensor, " C"] | None, focal_gamma: float) -> Criterion:
    """Mean loss of (logits, class numbers or a probability for each class).

    A network may give more logits than there are classes, such as a score of "none of them": they have weight 1 and
    probability 0.

    Args:
        label_smoothing: in [0, 1).
        weights: what a sample of each class counts.
        focal_gamma: 0 is cross-entropy.
    """
    plain = partial(focal, gamma=focal_gamma) if focal_gamma else F.cross_entropy

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        extra = logits.shape[1]
        if target.is_floating_point() and target.shape[1] < extra:
            target = F.pad(target, (0, extra - target.shape[1]))
        logits = _exact(logits)
        weight = weights if weights is None else F.pad(weights, (0, extra - len(weights)), value=1.0).to(logits)
        return plain(logits, target, weight=weight, label_smoothing=label_smoothing)

    return loss


def classify(
    name: str, *, label_smoothing: float = 0.0, weights: Float[Tensor, " C"] | None = None, focal_gamma: float = 0.0
) -> Objective:
    """One class a sample; the options are of cross-entropy.

    Args:
        name: cross_entropy, which also takes a probability for each class; hinge or mse.
        label_smoothing: share of the target spread over all classes, in [0, 1).
        weights: what a sample of each class counts.
        focal_gamma: 0 is cross-entropy.
    """
    if name == "cross_entropy":
        loss = class_loss(label_smoothing=label_smoothing, weights=weights, focal_gamma=focal_gamma)
        return Objective(loss, _weight_of(weights))
    return Objective({"hinge": hinge, "mse": brier}[name])


def hinge(scores: Float[Tensor, "B C"], target: Tensor) -> Tensor:
    """The right score should lead every other by 1."""
    return F.multi_margin_loss(_exact(scores), target)


def brier(logits: Float[Tensor, "B C"], target: Tensor) -> Tensor:
    """Squared distance of the probabilities from certainty, mean over the samples; in [0, 2]."""
    p = _exact(logits).softmax(1)
    return (p - F.one_hot(target, p.shape[1])).square().sum(1).mean()


def multilabel() -> Objective:
    """Any number of labels a sample: logits and targets (B, labels), 0 or 1."""
    return Objective(_full(F.binary_cross_entropy_with_logits))


def regress(name: str, *, huber_delta: float = 1.0) -> Objective:
    """Numbers: outputs and targets (B, K).

    Args:
        name: mse, mae or huber.
        huber_delta: of huber, the error up to which it is squared, > 0.
    """
    losses: dict[str, Criterion] = {**_DISTANCES, "huber": partial(F.huber_loss, delta=huber_delta)}
    return Objective(_full(losses[name]))


def segment(weights: Float[Tensor, " C"] | None = None) -> Objective:
    """A class a pixel: logits (B, C, ...) and class numbers (B, ...).

    Args:
        weights: what a pixel of each class counts.
    """
    loss = class_loss(label_smoothing=0.0, weights=weights, focal_gamma=0.0)
    return Objective(loss, _weight_of(weights))


def reconstruct(name: str) -> Objective:
    """The sample itself: outputs and targets of the same shape.

    Args:
        name: mse or mae.
    """
    return Objective(_full(_DISTANCES[name]))


_DISTANCES: Mapping[str, Criterion] = {"mse": F.mse_loss, "mae": F.l1_loss}


def _full(loss: Criterion) -> Criterion:
    """Refuses what would broadcast: (B, 1) against (B,) is B x B differences, and a silent fault."""

    def checked(outputs: Tensor, target: Tensor) -> Tensor:
        if outputs.shape != target.shape:
            fix = "give the network an output for each of the target's numbers"
            must, got = f"of the target's shape {tuple(target.shape)}", tuple(outputs.shape)
            raise ConfigError("loss", "the network's output", must, got=got, fix=fix)
        return loss(_exact(outputs), target)

    return checked


def _weight_of(weights: Float[Tensor, " C"] | None) -> Callable[[Tensor], Tensor]:
    """What targets count in the mean of a cross-entropy: see the top of this file."""

    def weight(target: Tensor) -> Tensor:
        if target.is_floating_point():
            return torch.tensor(float(target.numel() // target.shape[1]), device=target.device)
        if weights is None:
            return torch.tensor(float(target.numel()), device=target.device)
        return weights.to(target.device)[target].sum()

    return weight


def _exact(outputs: Tensor) -> Tensor:
    """Half precision as float32: sums over classes and samples need its digits."""
    return outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs
