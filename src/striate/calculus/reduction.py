"""Many losses to one number: their mean, their sum, or none of it.

    mean: L = sum_n l_n / count        dL/dl_n = dL / count
    sum:  L = sum_n l_n                dL/dl_n = dL
    none: L = l                        dL/dl_n = dL_n

`count` is what the loss says it is: the number of its terms, or, in a weighted mean, the sum of their weights.
"""

from torch import Tensor

from striate.base.errors import ConfigError

REDUCTIONS = ("mean", "sum", "none")


def reduce(losses: Tensor, reduction: str, count: int | Tensor) -> Tensor:
    """The losses as one number, or as they are.

    Raises:
        ConfigError: `reduction` is not "mean", "sum" or "none".
    """
    _check(reduction)
    if reduction == "none":
        return losses
    return losses.sum() / count if reduction == "mean" else losses.sum()


def reduce_pullback(dy: Tensor, reduction: str, count: int | Tensor) -> Tensor:
    """The error of every loss, of dy's shape: one number for all, or (none) one for each."""
    _check(reduction)
    return dy / count if reduction == "mean" else dy


def check_same_shape(where: str, y: Tensor, target: Tensor) -> None:
    """Refuse what would broadcast: (B, 1) against (B,) is B x B differences, and a silent fault.

    Raises:
        ConfigError: the shapes differ.
    """
    if y.shape != target.shape:
        fix = "reshape the target, for example with target.view_as(output)"
        raise ConfigError(where, "target", f"of shape {tuple(y.shape)}", got=tuple(target.shape), fix=fix)


def _check(reduction: str) -> None:
    if reduction not in REDUCTIONS:
        fix = "mean is what a batch is trained with"
        raise ConfigError("loss", "reduction", "one of " + ", ".join(REDUCTIONS), got=reduction, fix=fix)
