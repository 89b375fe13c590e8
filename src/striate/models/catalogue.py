"""Every network by name: one dict that can be read, and the functions that build from it.

A network is named by a key of `MODELS`, by a text in the notation, or by FILE.py:NAME; all three have a card.
"""

import difflib

import torch
from torch import nn

from striate.base.errors import ConfigError
from striate.base.operations import Shape
from striate.layers.dropout import number_layers
from striate.models import (
    alexnet,
    alexnet2014,
    allconv,
    autoencoder,
    c3d_small,
    fcn,
    googlenet,
    lenet5,
    lenet5_1998,
    lenet1989,
    mobilenet,
    perceptron,
    resnet,
    shufflenet,
    signal1d,
    textcnn,
    vgg,
)
from striate.models.card import Card, Given, Options
from striate.models.own_file import file_card, is_file, read_file
from striate.models.own_text import TITLE, is_text, text_card

MODELS: dict[str, Card] = {
    "perceptron": perceptron.PERCEPTRON,
    "mlp": perceptron.MLP_256,
    "lenet1989": lenet1989.LENET_1989,
    "lenet5-1998": lenet5_1998.LENET5_1998,
    "lenet5": lenet5.LENET5,
    "alexnet": alexnet.ALEXNET,
    "alexnet-2014": alexnet2014.ALEXNET_2014,
    "googlenet": googlenet.GOOGLENET,
    "googlenet-bn": googlenet.GOOGLENET_BN,
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
    "fcn": fcn.FCN_SMALL,
    "autoencoder": autoencoder.AUTOENCODER,
    "textcnn": textcnn.TEXTCNN,
    "signal1d": signal1d.SIGNAL_M5,
    "c3d-small": c3d_small.C3D_SMALL,
}


def card(name: str) -> Card:
    """The card of a network: a built-in one, a text in the notation, or FILE.py:NAME, which is run.

    Raises:
        ConfigError: no network of that name (the nearest are given), a text that is not understood, a faulty file.
    """
    if name in MODELS:
        return MODELS[name]
    if is_file(name):
        return file_card(read_file(name))
    meant = difflib.get_close_matches(name[:100], MODELS, n=1, cutoff=0.7)
    if is_text(name) or (not meant and len(name.split()) > 1):
        return text_card(name)
    near = difflib.get_close_matches(name[:100], MODELS, n=3, cutoff=0.6)
    known = f"try {' or '.join(near)}" if near else "choose one of these"
    fix = f"{known}, or write a network as in: conv 6 5x5, relu, flatten, linear 10"
    raise ConfigError("model", "name", f"one of {', '.join(MODELS)}", got=name, fix=fix)


def title(name: str) -> str:
    """A short name, for folders and headlines; nothing is read or run.

    >>> title("lenet5"), title("conv 6 5x5, relu"), title("nets/mine.py:Net")
    ('lenet5', 'network', 'Net')
    """
    if name in MODELS:
        return name
    return name.rpartition(":")[2] if is_file(name) else TITLE


def options(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    image_size: int | None = None,
    dropout: float | None = None,
    shape: Shape | None = None,
) -> Options:
    """What the builder of a network is told: what is given, and the network's own for the rest.

    Raises:
        ConfigError: an unknown name, a number out of range, or one that means nothing to this network.
    """
    given = Given(num_classes=num_classes, in_channels=in_channels, image_size=image_size, dropout=dropout, shape=shape)
    chosen = card(name)
    return chosen.settle(title(name), chosen.usual, given)


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
        name: a key of `MODELS`, a text in the notation, or FILE.py:NAME.
        num_classes: how many outputs, >= 1, which a text must agree with.  Left out, these four are the network's own,
            as published or usual.
        in_channels: channels of the picture, >= 1.
        image_size: side of the square picture in pixels.
        dropout: share of features that training drops, in [0, 1).
        seed: the weights are a pure function of it; torch's global generator is left alone.

    Raises:
        ConfigError: an unknown name, a number out of range, or one that means nothing to this network; a text that is
            not understood or does not fit; a file that fails.

    >>> sum(p.numel() for p in build("lenet5").parameters())
    61706
    """
    given = Given(num_classes=num_classes, in_channels=in_channels, image_size=image_size, dropout=dropout)
    chosen = card(name)
    return drawn(chosen, chosen.settle(title(name), chosen.usual, given), seed)


def drawn(chosen: Card, asked: Options, seed: int) -> nn.Module:
    """A network of a card, its weights a pure function of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # for weights that torch's constructors draw and the start leaves
        model = chosen.builder(asked)
    number_layers(model)
    chosen.start(model, seed)
    return model


def skeleton(name: str, asked: Options) -> nn.Module:
    """A network whose weights are torch's own draw, or nothing at all inside `torch.device("meta")`."""
    model = card(name).builder(asked)
    number_layers(model)
    return model


def training_form(name: str, network: nn.Module, seed: int) -> nn.Module:
    """What is trained: the network itself, or where its card says so, the network with heads that are left behind."""
    return with_heads(card(name), network, seed)


def with_heads(chosen: Card, network: nn.Module, seed: int) -> nn.Module:
    """The same by its card."""
    if chosen.heads is None:
        return network
    with torch.random.fork_rng(devices=[]):
        model = chosen.heads(network)
    chosen.start(model, seed)
    number_layers(model)
    return model
