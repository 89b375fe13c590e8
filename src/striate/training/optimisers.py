"""Optimisers by name, and which parameters weight decay pulls on.

Weight decay is for the weights that multiply: kernels and matrices.  A bias or a normalisation's scale
does not make the function steeper, it only shifts or rescales it; pulling it to zero costs fit and
buys no smoothness (Goodfellow, Bengio and Courville 2016, section 7.1), so they are left alone.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: tensors of two or more axes with weight decay, the rest (biases, scales) without."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def sgd(model: nn.Module, lr: float, momentum: float, weight_decay: float) -> Optimizer:
    """Gradient descent with momentum: v <- m v + g, w <- w - lr v; L2 decay joins g."""
    return SGD(parameter_groups(model, weight_decay), lr=lr, momentum=momentum, fused=True)


def adamw(model: nn.Module, lr: float, _momentum: float, weight_decay: float) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101): the decay acts on the weight, not through g."""
    return AdamW(parameter_groups(model, weight_decay), lr=lr, weight_decay=weight_decay, fused=True)


OPTIMISERS: dict[str, Callable[[nn.Module, float, float, float], Optimizer]] = {"sgd": sgd, "adamw": adamw}


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
        counter = value.shape != parameter.shape
        optimizer.state[parameter][name] = (
            value.to(parameter.device, copy=True) if counter else torch.empty_like(parameter).copy_(value)
        )
