"""Every network by name: one dict that can be read, and the functions that build from it."""

import difflib

import torch
from torch import nn

from striate.base.errors import ConfigError
from striate.layers.dropout import number_layers
from striate.models import (
    allconv,
    autoencoder,
    c3d_small,
    fcn,
    lenet5,
    mobilenet,
    resnet,
    shufflenet,
    signal1d,
    textcnn,
    vgg,
)
from striate.models.card import Card, Options

MODELS: dict[str, Card] = {
    "lenet5": lenet5.LENET5,
    "vgg11": vgg.VGG11,
    "vgg13": vgg.VGG13,
    "vgg16": vgg.VGG16,
    "vgg19": vgg.VGG19,
    "allconv": allconv.ALLCONV,
    "resnet20": resnet.RESNET20,
    "resnet18": resnet.RESNET18,
    "resnet34": resnet.RESNET34,
    "resnet50": resnet.RESNET50,
    "resnet50-2015": resnet.RESNET50_2015,
    "mobilenet": mobilenet.MOBILENET,
    "shufflenet": shufflenet.SHUFFLENET,
    "fcn-small": fcn.FCN_SMALL,
    "autoencoder": autoencoder.AUTOENCODER,
    "textcnn": textcnn.TEXTCNN,
    "m5": signal1d.SIGNAL_M5,
    "c3d-small": c3d_small.C3D_SMALL,
}


def card(name: str) -> Card:
    """The card of a network.

    Raises:
        ConfigError: no network of that name; the nearest names are given.
    """
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=3, cutoff=0.4) or ["lenet5"]
        raise ConfigError("model", "name", f"one of {', '.join(MODELS)}", got=name, fix=f"try {' or '.join(near)}")
    return MODELS[name]


def options(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    image_size: int | None = None,
    dropout: float | None = None,
) -> Options:
    """What the builder of a network is told: what is given, and the network's own for the rest.

    Raises:
        ConfigError: an unknown name, a number out of range, or one that means nothing to this network.
    """
    usual = card(name).usual
    if num_classes is not None and usual.num_classes is None:
        raise ConfigError(name, "num_classes", "left out", got=num_classes, fix="it has no classes")
    if dropout is not None and usual.dropout is None:
        raise ConfigError(name, "dropout", "left out", got=dropout, fix="it drops nothing")
    if num_classes is not None and num_classes < 2:
        raise ConfigError(name, "num_classes", ">= 2", got=num_classes, fix="give at least two classes")
    if in_channels is not None and in_channels < 1:
        raise ConfigError(name, "in_channels", ">= 1", got=in_channels, fix="1 is grey, 3 is colour")
    if image_size is not None and image_size < 1:
        raise ConfigError(name, "image_size", ">= 1", got=image_size, fix=f"{usual.image_size} is usual")
    return Options(
        num_classes=usual.num_classes if num_classes is None else num_classes,
        in_channels=usual.in_channels if in_channels is None else in_channels,
        image_size=usual.image_size if image_size is None else image_size,
        dropout=usual.dropout if dropout is None else dropout,
    )


def build(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    image_size: int | None = None,
    dropout: float | None = None,
    seed: int = 0,
) -> nn.Module:
    """Build a network with freshly drawn weights.

    Args:
        name: a key of `MODELS`.
        num_classes: how many classes, >= 2.  Left out, these four are the network's own, as published or usual.
        in_channels: channels of the picture, >= 1.
        image_size: side of the square picture in pixels.
        dropout: share of features that training drops, in [0, 1).
        seed: the weights are a pure function of it; torch's global generator is left alone.

    Raises:
        ConfigError: an unknown name, a number out of range, or one that means nothing to this network.

    >>> sum(p.numel() for p in build("lenet5").parameters())
    61706
    """
    asked = options(name, num_classes=num_classes, in_channels=in_channels, image_size=image_size, dropout=dropout)
    with torch.random.fork_rng(devices=[]):  # torch's constructors draw weights that are replaced below
        model = skeleton(name, asked)
    card(name).start(model, seed)
    return model


def skeleton(name: str, asked: Options) -> nn.Module:
    """A network whose weights are torch's own draw, or nothing at all inside `torch.device("meta")`."""
    model = card(name).builder(asked)
    number_layers(model)
    return model


def training_form(name: str, network: nn.Module, seed: int) -> nn.Module:
    """What is trained: the network itself, or where its card says so, the network with heads that are left behind."""
    chosen = card(name)
    if chosen.heads is None:
        return network
    with torch.random.fork_rng(devices=[]):
        model = chosen.heads(network)
    chosen.start(model, seed)
    number_layers(model)
    return model
