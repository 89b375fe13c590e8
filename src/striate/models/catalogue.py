"""Every network by name: one dict that can be read, and the function that builds from it."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from striate.base.errors import ConfigError
from striate.layers.dropout import number_layers
from striate.layers.initialise import initialise
from striate.models.lenet5 import LeNet5


@dataclass(frozen=True, slots=True)
class Card:
    """What a network is.

    Args:
        builder: (num_classes, in_channels, image_size, dropout) -> module.
        image_size: side in pixels of the square picture it was made for.
        source: paper and year.
        faithful: what is as published and what is not.
    """

    builder: Callable[[int, int, int, float], nn.Module]
    image_size: int
    source: str
    faithful: str


MODELS: dict[str, Card] = {
    "lenet5": Card(
        builder=LeNet5,
        image_size=32,
        source="LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition",
        faithful="sizes as published; ReLU, max pooling, full connections and a linear output as taught today",
    ),
}


def card(name: str) -> Card:
    """The card of a network.

    Raises:
        ConfigError: no network of that name; the nearest names are given.
    """
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=3, cutoff=0.4) or list(MODELS)
        raise ConfigError("model", "name", f"one of {', '.join(MODELS)}", got=name, fix=f"try {' or '.join(near)}")
    return MODELS[name]


def build(
    name: str,
    *,
    num_classes: int = 10,
    in_channels: int = 1,
    image_size: int | None = None,
    dropout: float = 0.0,
    seed: int = 0,
) -> nn.Module:
    """Build a network with freshly drawn weights.

    Args:
        name: a key of `MODELS`.
        num_classes: how many classes, >= 2.
        in_channels: channels of the picture, >= 1.
        image_size: side of the square picture in pixels; None is the network's own.
        dropout: share of features that training drops where the network drops any, in [0, 1).
        seed: the weights are a pure function of it; torch's global generator is left alone.

    Raises:
        ConfigError: an unknown name or a number out of range.

    >>> sum(p.numel() for p in build("lenet5").parameters())
    61706
    """
    with torch.random.fork_rng(devices=[]):  # torch's constructors draw weights that are replaced below
        model = skeleton(name, num_classes=num_classes, in_channels=in_channels, image_size=image_size, dropout=dropout)
    initialise(model, seed)
    return model


def skeleton(
    name: str, *, num_classes: int, in_channels: int, image_size: int | None = None, dropout: float = 0.0
) -> nn.Module:
    """A network whose weights are torch's own draw, or nothing at all inside `torch.device("meta")`.

    Raises:
        ConfigError: as `build`.
    """
    chosen = card(name)
    if num_classes < 2:
        raise ConfigError(name, "num_classes", ">= 2", got=num_classes, fix="give at least two classes")
    if in_channels < 1:
        raise ConfigError(name, "in_channels", ">= 1", got=in_channels, fix="1 is grey, 3 is colour")
    model = chosen.builder(num_classes, in_channels, image_size or chosen.image_size, dropout)
    number_layers(model)
    return model
