"""One update: from gradients to the next weights.  g is the gradient of the mean loss, w a parameter.

    finite     neither loss nor |g| is NaN or infinite: looked at first, for a spoiled weight cannot be taken back
    norm       g <- g min(1, c / |g|)          |g| over all parameters together
    value      g <- min(max(g, -c), c)         number by number
    L1         g <- g + l sign(w)              weights (two axes or more) alone; sign(0) = 0
    update     the optimiser's, weight decay in it
    max-norm   w_u <- w_u min(1, c / |w_u|)    w_u: the weights into one output unit; its bias is left alone

in this order: like weight decay, L1 is a push on the weights that clipping the loss's gradient does not weaken.

Clipping: Pascanu, Mikolov and Bengio 2013, arXiv:1211.5063, algorithm 1.  Max-norm: Srivastava et al. 2014, section
5.1.  Scaled loss for float16: Micikevicius et al. 2018, arXiv:1710.03740, section 3.2.
"""

from dataclasses import dataclass
from math import hypot, isfinite

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from striate.base.errors import ConfigError, NumericError

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What happens in every update beside the optimiser's formula.

    Args:
        accumulate: pieces that a batch goes through in; their gradients add up to the batch's.  Batch normalisation
            measures each piece by itself.
        clip_norm: largest norm of the whole gradient, > 0.
        clip_value: largest absolute value of a gradient's number, > 0.
        l1: strength of the L1 penalty, >= 0.
        max_norm: largest norm of the weights into one unit, > 0.

    Raises:
        ConfigError: a number out of its range.
    """

    accumulate: int = 1
    clip_norm: float | None = None
    clip_value: float | None = None
    l1: float = 0.0
    max_norm: float | None = None

    def __post_init__(self) -> None:
        if self.accumulate < 1:
            raise _refused("accumulate", ">= 1", self.accumulate)
        for name in ("clip_norm", "clip_value", "max_norm"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise _refused(name, "> 0", value)
        if not 0 <= self.l1 < float("inf"):
            raise _refused("l1", ">= 0", self.l1)


def _refused(name: str, must: str, got: object) -> ConfigError:
    return ConfigError("update", name, must, got=got, fix=f"leave {name} out to go without it")


PLAIN = Rules()

Units = tuple[Tensor, tuple[int, ...]]  # weights, and the axes along which those of one unit lie


def units(model: nn.Module) -> list[Units]:
    """The trained weights, sharing memory with the model, each with the axes to take the norm of one unit along.

    The first axis counts the units: outputs of a matrix, maps of a convolution, tokens of an embedding.  A transposed
    convolution's weights are (inputs, maps of a group, kernel...), so there the units are its groups' maps.
    """
    found: dict[int, Units] = {}
    for module in model.modules():
        for weight in module.parameters(recurse=False):
            if weight.ndim < 2 or not weight.requires_grad:
                continue
            if isinstance(module, TRANSPOSED):
                grouped = weight.detach().unflatten(0, (module.groups, -1))  # type: ignore[no-untyped-call]
                found[id(weight)] = grouped, (1, *range(3, grouped.ndim))
            else:
                found[id(weight)] = weight.detach(), tuple(range(1, weight.ndim))
    return list(found.values())


def project(found: list[Units], max_norm: float) -> None:
    """Shorten the weights of every unit that are longer than `max_norm`.

    >>> w = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    >>> project([(w, (1,))], 2.5)
    >>> w.tolist()
    [[1.5, 2.0], [0.0, 1.0]]
    """
    for weights, axes in found:
        lengths = torch.linalg.vector_norm(weights, dim=axes, keepdim=True)
        weights.mul_((max_norm / lengths).clamp_(max=1))  # of length 0: infinity, and so 1


def total_norm(gradients: list[Tensor]) -> float:
    """The norm of all together, in half the time of torch's `get_total_norm`, which sorts them by kind first.

    >>> total_norm([torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])])
    5.0
    """
    norms = torch._foreach_norm(gradients)
    first = norms[0].device  # a network may lie on several
    return hypot(*torch.stack([norm.to(first) for norm in norms]).tolist())


def not_finite(loss: float, norm: float, *, step: int, lr: float) -> NumericError:
    """The error for an update that was not made, since its loss or its gradient is NaN or infinite."""
    name, value = ("gradient norm", norm) if isfinite(loss) else ("loss", loss)
    return NumericError(
        "training",
        f"{name} at step {step} (lr {lr:g})",
        "finite",
        got=value,
        fix="lower lr, or lengthen schedule.warmup_epochs; the last checkpoint has only finite numbers",
    )


class Update:
    """Makes the updates of one network; what need not be looked up every time is looked up here.

    Args:
        model: the network.
        optimizer: over its parameters.
        rules: of every update.
        scaler: that the losses are scaled by.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, rules: Rules, scaler: GradScaler | None) -> None:
        self.optimizer, self.rules, self.scaler = optimizer, rules, scaler
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.units = units(model) if rules.max_norm is not None else []
        self.rates = [(group, group.get("lr_factor", 1.0)) for group in optimizer.param_groups]

    def begin(self, lr: float) -> None:
        """Set the rate and forget the last gradients."""
        for group, factor in self.rates:
            group["lr"] = lr * factor
        for parameter in self.parameters:
            parameter.grad = None

    def make(self, loss: float, *, step: int, lr: float) -> bool:
        """Update from the gradients at hand.

        Returns:
            False: skipped, for the scaled gradients were infinite; the scaler has halved its scale.

        Raises:
            NumericError: loss or gradient is not finite, and no smaller scale would help.
        """
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        found = [gradient for p in self.parameters if (gradient := p.grad) is not None]
        norm = total_norm(found)
        finite = isfinite(loss) and isfinite(norm)
        if finite:
            self._clip(found, norm)
            self._penalise()
            self.optimizer.step()
            if self.rules.max_norm is not None:
                project(self.units, self.rules.max_norm)
        elif not (isfinite(loss) and self._scale_helps(found)):
            raise not_finite(loss, norm, step=step, lr=lr)
        if self.scaler is not None:
            self.scaler.update()
        return finite

    def _scale_helps(self, found: list[Tensor]) -> bool:
        """Whether a smaller scale may make the gradient finite."""
        if self.scaler is None or self.scaler.get_scale() < 1:
            return False
        return not all(gradient.isfinite().all() for gradient in found)  # else it is the norm that overflows

    def _clip(self, found: list[Tensor], norm: float) -> None:
        if self.rules.clip_norm is not None and norm > self.rules.clip_norm:
            torch._foreach_mul_(found, self.rules.clip_norm / norm)
        if self.rules.clip_value is not None:
            torch._foreach_clamp_min_(found, -self.rules.clip_value)
            torch._foreach_clamp_max_(found, self.rules.clip_value)

    def _penalise(self) -> None:
        if self.rules.l1:
            for weight in self.parameters:
                if weight.ndim > 1 and weight.grad is not None:
                    weight.grad.add_(weight.detach().sign(), alpha=self.rules.l1)
