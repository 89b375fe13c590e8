"""The loss of a classifier: cross-entropy, and what is made of it for classes that are not alike.

    balanced weights    w_c = N / (C n_c)        n_c of N training pictures are of class c

so that the classes count alike in all and a picture counts 1 on average (scikit-learn's "balanced"; King and Zeng
2001).  With a focus it is the focal loss of Lin et al. 2017, arXiv:1708.02002.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from striate.base.errors import ConfigError
from striate.calculus.focal import focal

Criterion = Callable[[Tensor, Tensor], Tensor]


def class_weights(asked: str | Sequence[float], counts: Sequence[int]) -> Float[Tensor, " C"] | None:
    """The weight of every class, or None where all count alike.

    Args:
        asked: "none", "balanced", or a number a class.
        counts: training pictures of every class, each > 0.

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
        weights: what a picture of each class counts.
        focal_gamma: 0 is cross-entropy.
    """
    plain = partial(focal, gamma=focal_gamma) if focal_gamma else F.cross_entropy

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        extra = logits.shape[1]
        if target.is_floating_point() and target.shape[1] < extra:
            target = F.pad(target, (0, extra - target.shape[1]))
        weight = weights if weights is None else F.pad(weights, (0, extra - len(weights)), value=1.0).to(logits)
        return plain(logits, target, weight=weight, label_smoothing=label_smoothing)

    return loss
