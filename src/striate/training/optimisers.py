"""Optimisers by name, torch's fused ones where it has them, and which parameters they pull on how strongly.

Weight decay is for the weights that multiply: kernels and matrices.  A bias or a normalisation's scale
does not make the function steeper, it only shifts or rescales it; pulling it to zero costs fit and
buys no smoothness (Goodfellow, Bengio and Courville 2016, section 7.1), so they are left alone.

The formulas, with their sources: striate/calculus/updates.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from inspect import unwrap
from typing import Any, TypeVar

import torch
from torch import Tensor, nn, optim
from torch.optim import Optimizer

from striate.base.errors import ConfigError

Kind = TypeVar("Kind", bound=Optimizer)


def uncompiled(kind: type[Kind]) -> type[Kind]:
    """Torch's optimiser without what surrounds its methods where they are compiled.

    That imports torch's compiler at the first call, compiled or not, which takes longer than a small network's epoch.
    """
    others = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: unwrap(getattr(kind, name)) for name in others}
    return type(kind.__name__, (kind,), {"step": torch.no_grad()(unwrap(kind.step)), **methods})


SGD, Adagrad, RMSprop = uncompiled(optim.SGD), uncompiled(optim.Adagrad), uncompiled(optim.RMSprop)
Adam, AdamW = uncompiled(optim.Adam), uncompiled(optim.AdamW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What optimisers are told; each takes what its formula has.

    Args:
        lr: learning rate, > 0.
        weight_decay: L2 strength; adamw's acts on the weight, the others' joins the gradient.
        momentum: of sgd and rmsprop, in [0, 1).
        nesterov: sgd's momentum looks ahead.
        beta1: memory of the gradient, adam and adamw.
        beta2: memory of its square, adam and adamw.
        alpha: memory of the squared gradient, rmsprop.
        lr_factors: beginning of a parameter's dotted name -> what its rate is multiplied by, > 0; the longest wins.
    """

    lr: float
    weight_decay: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False
    beta1: float = 0.9
    beta2: float = 0.999
    alpha: float = 0.99
    lr_factors: Mapping[str, float] = field(default_factory=dict)


def parameter_groups(model: nn.Module, settings: Settings) -> list[dict[str, Any]]:
    """The trained parameters: by rate, and tensors of two or more axes with weight decay before the rest without.

    Raises:
        ConfigError: nothing is trained, or a factor for what is not there or not trained.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise ConfigError("optimizer", "trained parameters", "at least one", got="none", fix="freeze less")
    _check_factors(model, trained, settings.lr_factors)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    factors = {name: _factor(name, settings.lr_factors) for name in trained}
    for factor in dict.fromkeys(factors.values()):
        for decayed in (True, False):
            members = [p for name, p in trained.items() if factors[name] == factor and (p.ndim > 1) is decayed]
            groups |= {(factor, decayed): members} if members else {}
    return [
        {"params": members, "weight_decay": settings.weight_decay * decayed, "lr_factor": factor}
        for (factor, decayed), members in groups.items()
    ]


def _factor(name: str, factors: Mapping[str, float]) -> float:
    fitting = [prefix for prefix in factors if begins(name, prefix)]
    return factors[max(fitting, key=len)] if fitting else 1.0


def begins(name: str, prefix: str) -> bool:
    """Whether a dotted name is the prefix or goes on from it: "conv1.weight" from "conv1", "conv10.weight" not."""
    return f"{name}.".startswith(f"{prefix.rstrip('.')}.")


def _check_factors(model: nn.Module, trained: Mapping[str, nn.Parameter], factors: Mapping[str, float]) -> None:
    names = [name for name, _ in model.named_parameters()]
    for prefix, factor in factors.items():
        if not 0 < factor < float("inf"):
            raise ConfigError("lr_factors", prefix, "> 0", got=factor, fix="to keep it as it is, freeze it")
        if not any(begins(name, prefix) for name in trained):
            raise _misses(prefix, names)


def _misses(prefix: str, names: list[str]) -> ConfigError:
    must = "the beginning of a trained parameter's name"
    if any(begins(name, prefix) for name in names):
        return ConfigError("lr_factors", prefix, must, got="a frozen one's", fix="freeze less, or leave the factor out")
    known = dict.fromkeys(name[:end] for name in names for end in _ends(name))
    near = get_close_matches(prefix, known, n=3) or list(dict.fromkeys(name.split(".")[0] for name in names))
    return ConfigError("lr_factors", prefix, must, got="no parameter's", fix=f"there are {', '.join(near[:8])}")


def _ends(name: str) -> list[int]:
    return [place for place, letter in enumerate(name) if letter == "."] + [len(name)]


def sgd(model: nn.Module, settings: Settings) -> Optimizer:
    """Gradient descent with momentum: v <- m v + g, w <- w - lr v; L2 decay joins g.

    Raises:
        ConfigError: Nesterov's momentum is asked for and there is none.
    """
    if settings.nesterov and not settings.momentum > 0:
        raise ConfigError("sgd", "momentum", "> 0 with nesterov", got=settings.momentum, fix="momentum=0.9 is usual")
    groups, momentum = parameter_groups(model, settings), settings.momentum
    return SGD(groups, lr=settings.lr, momentum=momentum, nesterov=settings.nesterov, fused=True)


def adagrad(model: nn.Module, settings: Settings) -> Optimizer:
    """A step size for each number, which shrinks with the sum of its squared gradients."""
    on_cpu = all(p.device.type == "cpu" for p in model.parameters())  # torch fuses it there alone
    return Adagrad(parameter_groups(model, settings), lr=settings.lr, fused=on_cpu or None)


def rmsprop(model: nn.Module, settings: Settings) -> Optimizer:
    """The same with a running mean of the squares; torch has no fused form, but one for all tensors together."""
    groups = parameter_groups(model, settings)
    return RMSprop(groups, lr=settings.lr, alpha=settings.alpha, momentum=settings.momentum, foreach=True)


def adam(model: nn.Module, settings: Settings) -> Optimizer:
    """Running means of gradient and square; L2 decay joins the gradient."""
    betas = settings.beta1, settings.beta2
    return Adam(parameter_groups(model, settings), lr=settings.lr, betas=betas, fused=True)


def adamw(model: nn.Module, settings: Settings) -> Optimizer:
    """Adam whose decay acts on the weight, not through the gradient."""
    betas = settings.beta1, settings.beta2
    return AdamW(parameter_groups(model, settings), lr=settings.lr, betas=betas, fused=True)


OPTIMISERS: dict[str, Callable[[nn.Module, Settings], Optimizer]] = {
    "sgd": sgd,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adamw,
}


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimiser's memory as flat named tensors: '<parameter number>.<name>'."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": value
        for number, entries in state.items()
        for name, value in entries.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give the optimiser back what `optimizer_tensors` took, in each parameter's own memory format."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for full_name, value in tensors.items():
        number, name = full_name.split(".", 1)
        parameter = parameters[int(number)]
        if value.ndim and value.shape != parameter.shape:
            raise ValueError(f"{full_name} has shape {tuple(value.shape)}, its parameter {tuple(parameter.shape)}")
        counter = name == "step" or value.shape != parameter.shape
        optimizer.state[parameter][name] = (
            value.to(parameter.device, copy=True) if counter else torch.empty_like(parameter).copy_(value)
        )
