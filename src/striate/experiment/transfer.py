"""From another run's weights: what fits is taken, what is frozen stays."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from striate.base.errors import ConfigError
from striate.deploy.predictor import bundle_at
from striate.models.own_file import is_file
from striate.training.optimisers import begins

if TYPE_CHECKING:
    from striate.experiment.wiring import Wired


@dataclass(frozen=True, slots=True)
class Taken:
    """What came over.

    Args:
        location: the run or bundle.
        tensors: names that were taken.
        left: names of the network that start anew: lacking there, or of another shape.
    """

    location: str
    tensors: tuple[str, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        anew = f"; these start anew: {', '.join(self.left)}" if self.left else ""
        return f"weights of {self.location}: {len(self.tensors)} tensors taken{anew}"


def check_weights(location: str, model: str) -> None:
    """Refuse a model that cannot be read, before data are.

    Args:
        location: a finished run, or a bundle.
        model: what the recipe calls the network.

    Raises:
        ModelFileError: no model there, or it is damaged.
    """
    bundle_at(Path(location), model if is_file(model) else None)


@torch.no_grad()
def take_weights(network: nn.Module, location: str, model: str) -> Taken:
    """Copy the weights of a run or bundle into a network, by name and shape.

    Args:
        network: keeps its device, number type and memory format.
        location: a finished run, or a bundle.
        model: what the recipe calls the network; a file of the user's is run for a bundle that needs one.

    Raises:
        ModelFileError: no model there, or it is damaged.
        ConfigError: nothing in it fits.
    """
    given = bundle_at(Path(location), model if is_file(model) else None).model.state_dict()
    own = network.state_dict()
    fitting = [name for name, tensor in own.items() if name in given and given[name].shape == tensor.shape]
    if not any(own[name].ndim > 1 for name in fitting):
        must, fix = (
            "of the same network, other classes apart",
            "train that network first, or leave it out",
        )
        raise ConfigError("transfer", location, must, got="no layer of the same name and shape", fix=fix)
    for name in fitting:
        own[name].copy_(given[name])
    return Taken(location, tuple(fitting), tuple(name for name in own if name not in fitting))


def transferred(wired: "Wired") -> list[str]:
    """Take another run's weights, where the recipe names one, and tell what came."""
    recipe = wired.recipe
    if recipe.transfer.weights is None:
        return []
    taken = take_weights(wired.built.module, recipe.transfer.weights, recipe.model)
    if wired.state.average is not None:
        wired.state.average.restore(wired.state.model.state_dict())
    return [str(taken)]


def freeze(model: nn.Module, prefixes: tuple[str, ...]) -> None:
    """Let parameters stay as they are, whose dotted names begin so.

    Raises:
        ConfigError: a beginning that no parameter has, or nothing is left to train.
    """
    names = [name for name, _ in model.named_parameters()]
    for prefix in prefixes:
        if not any(begins(name, prefix) for name in names):
            tops = ", ".join(dict.fromkeys(name.partition(".")[0] for name in names))
            fix = f"parameters begin with {tops}; `striate inspect` names all layers"
            raise ConfigError("transfer", "freeze", "the beginning of some parameter's name", got=prefix, fix=fix)
    for name, parameter in model.named_parameters():
        if any(begins(name, prefix) for prefix in prefixes):
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        if not prefixes:
            fix = "let a layer have weights that require a gradient"
            raise ConfigError("model", "the network", "one that has something to learn", got="nothing", fix=fix)
        raise ConfigError("transfer", "freeze", "not all of the network", got=list(prefixes), fix="leave the head free")
