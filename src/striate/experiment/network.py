"""The network of a run: what its builder is told, how it is built again, whether its output can be trained."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from striate.base.errors import ConfigError
from striate.deploy.bundle import Architecture
from striate.experiment.recipe import Recipe
from striate.models.card import Card, Given, Options
from striate.models.catalogue import card, drawn, title, with_heads
from striate.models.own_file import check_output, is_file, short_name


@dataclass(frozen=True, slots=True)
class Network:
    """A network and where it came from.

    Args:
        card: what it is.
        asked: what its builder was told.
        module: the network that is kept.
    """

    card: Card
    asked: Options
    module: nn.Module

    def trained(self, seed: int) -> nn.Module:
        """What is trained: the network itself, or the network with heads that only training needs."""
        return with_heads(self.card, self.module, seed)

    def kept(self, trained: nn.Module) -> nn.Module:
        """Of something that was trained, or of a mean of such, the part that is kept."""
        return trained if self.card.heads is None else trained.get_submodule("network")


def network_of(recipe: Recipe, given: Given) -> Network:
    """Build the network of a recipe for data.

    Raises:
        ConfigError: options that do not fit the data or the network.
    """
    chosen = card(recipe.model)
    if chosen.text is not None and recipe.task == "segment":
        given = replace(given, num_classes=None)  # a text is held to a vector of classes; here a map of them comes out
    asked = chosen.settle(title(recipe.model), chosen.usual, replace(given, dropout=recipe.regularise.dropout))
    return Network(chosen, asked, drawn(chosen, asked, recipe.seed))


def architecture_of(recipe: Recipe, network: Network) -> Architecture:
    """How to build the network again: a built-in name, the whole text, or FILE.py:NAME with the digest of the file."""
    chosen, asked = network.card, network.asked
    name = recipe.model if chosen.text is None else chosen.text(asked)
    return Architecture(
        name=short_name(name) if chosen.digest else name,
        num_classes=asked.num_classes,
        in_channels=asked.in_channels,
        image_size=asked.image_size,
        shape=asked.shape,
        source_sha256=chosen.digest,
    )


def check_logits(recipe: Recipe, network: Network) -> None:
    """Refuse what cannot train: an output that is no logit a class."""
    module, asked = network.module, network.asked
    last = list(module.modules())[-1]
    if isinstance(module, nn.Sequential) and isinstance(last, nn.Softmax | nn.LogSoftmax):
        fix = "leave the softmax out: the loss takes logits, and prediction makes probabilities of them"
        raise ConfigError(title(recipe.model), "the output", "logits", got=type(last).__name__.lower(), fix=fix)
    if is_file(recipe.model) and asked.shape is None:
        device = next(_tensors(module)).device
        batch = torch.zeros(2, asked.in_channels, asked.image_size, asked.image_size, device=device)
        check_output(recipe.model, module, batch, asked.classes)


def _tensors(module: nn.Module) -> Iterator[torch.Tensor]:
    yield from module.parameters()
    yield from module.buffers()
    yield torch.zeros(())
