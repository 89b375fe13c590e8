"""What tasks share: whether a network's output fits what is to be learnt, and outputs of test samples."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.base.operations import written
from striate.experiment.material import Material
from striate.experiment.network import Network
from striate.experiment.recipe import Recipe
from striate.experiment.tasks.task import Pair
from striate.models.catalogue import title
from striate.models.own_file import is_file


def check_outputs(recipe: Recipe, network: Network, material: Material, meaning: str) -> None:
    """Run a sample through and refuse an output that cannot be held against the targets.

    Args:
        recipe: names the network.
        network: as it was built.
        material: its data; what comes out should have the shape of the targets, or of numbers for each name.
        meaning: of the output, in words.

    Raises:
        ConfigError: it takes other samples, or gives something else.
    """
    x, target = next(material.evaluation("validation"))
    sample, card = tuple(x.shape[1:]), network.card
    takes = card.sample(network.asked)
    if card.text is None and not is_file(recipe.model) and takes != sample:
        fix = "take a network for such samples, or write one: 'flatten, linear 64, relu, linear 10'"
        must, got = f"of shape {written(takes)}, which {title(recipe.model)} takes", written(sample)
        raise ConfigError("recipe", "samples of the data", must, got=got, fix=fix)
    expected = _expected(tuple(target.shape[1:]), len(material.classes), recipe.task)
    given = tuple(_run(network.module, x[:2]).shape[1:])
    if given != expected:
        must, fix = f"{written(expected)}: {meaning}", f"let the network end so that {written(expected)} comes out"
        raise ConfigError(title(recipe.model), "the output", must, got=written(given), fix=fix)


def _expected(target: tuple[int, ...], names: int, task: str) -> tuple[int, ...]:
    return (names, *target) if task in ("classify", "segment") else target


def _run(network: nn.Module, x: Tensor) -> Tensor:
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    training = network.training
    with torch.inference_mode():
        outputs = network.eval()(x.to(device))
    network.train(training)
    return outputs


def all_at_once(pairs: Iterable[Pair]) -> Pair:
    """Outputs and targets of all batches, each in one tensor on the CPU; outputs in float32."""
    kept = [(outputs.float().cpu(), targets.cpu()) for outputs, targets in pairs]
    outputs, targets = (torch.cat(parts) for parts in zip(*kept, strict=True))
    return outputs, targets


def outputs_of_part(network: nn.Module, material: Material, part: str) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Inputs, outputs in float32, and targets of a part, batch by batch, on the CPU."""
    for x, target in material.evaluation(part):
        yield x.cpu(), _run(network, x).float().cpu(), target.cpu()
