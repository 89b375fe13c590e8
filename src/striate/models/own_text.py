"""The card of a network in the text notation, made when it is asked for."""

import re

from torch import nn

from striate.base.errors import ConfigError
from striate.base.network import Network
from striate.base.operations import Dropout, Linear, Shape, written
from striate.models.card import Card, Given, Options, picture
from striate.models.described import described
from striate.models.notation import Notation, read
from striate.models.syntax import NotationError
from striate.models.vocabulary import WORDS, known_name
from striate.models.writing import write

TITLE = "network"  # what such a network is called where a name has to be short
SIZE = 32  # pixels a side, where the text does not say
GREY = 1


def is_text(name: str) -> bool:
    """Whether something that is no name of a network is a notation: by its commas and brackets, or its first word.

    >>> is_text("flatten, linear 10"), is_text("flatten"), is_text("lenet6")
    (True, True, False)
    """
    first = known_name(name.split()[0]) if name.split() else None
    return bool(re.search(r"[,|()#]", name)) or (first is not None and first.name in WORDS)


def text_card(text: str) -> Card:
    """The card of a notation; shapes are looked at when its options are known.

    Raises:
        NotationError: the text is not understood.
    """
    notation = read(text)
    declared = notation.declared
    square = declared is not None and len(declared) == 3
    usual = Options(
        num_classes=None,
        in_channels=declared[0] if declared is not None and square else GREY,
        image_size=declared[-1] if declared is not None and square else SIZE,
    )

    def sample(asked: Options) -> Shape:
        return asked.shape or (picture(asked) if declared is None else declared)

    def network(asked: Options) -> Network:
        return notation.network(sample(asked))

    def build(asked: Options) -> nn.Module:
        return described(network(asked))

    def settle(_: str, usual: Options, given: Given) -> Options:
        return _settled(notation, usual, given)

    return Card(
        builder=build,
        usual=usual,
        source="its own notation",
        faithful="it is what the text says",
        sample=sample,
        settle=settle,
        text=lambda asked: write(network(asked)),
    )


def _settled(notation: Notation, usual: Options, given: Given) -> Options:
    """What the text says; what is given besides must agree with it.

    Raises:
        NotationError: it does not, with what to write; or the shapes do not fit.
    """
    given.check("notation", usual)
    channels = usual.in_channels if given.in_channels is None else given.in_channels
    size = usual.image_size if given.image_size is None else given.image_size
    asked = given.in_channels is not None or given.image_size is not None
    square = (channels, size, size) if asked or notation.declared is None else None
    shape = given.shape or square
    network = _ending(notation, shape, given.num_classes)
    out = network.output_shape
    if given.dropout is not None:
        _same_dropout(notation, network, given.dropout)
    classes = out[0] if len(out) == 1 else None
    return Options(num_classes=classes, in_channels=channels, image_size=size, shape=given.shape)


def text_network(text: str, shape: Shape | None, classes: int | None) -> Network:
    """The network of a notation on samples of any shape.

    Args:
        text: the notation.
        shape: of one sample; None: what the text says, or a grey picture of `SIZE` pixels a side.
        classes: how many numbers must come out; None: what comes out.

    Raises:
        NotationError: the text is not understood, says another input or makes another output, or does not fit.
    """
    notation = read(text)
    return _ending(notation, shape if shape or notation.declared else (GREY, SIZE, SIZE), classes)


def _ending(notation: Notation, shape: Shape | None, classes: int | None) -> Network:
    """The network on samples of a shape (None: the declared one), once its output is known to be the classes."""
    network = notation.network(shape)
    out = network.output_shape
    if classes is not None and out != (classes,):
        raise _other_output(notation, out, classes)
    return network


def _other_output(notation: Notation, out: Shape, classes: int) -> NotationError:
    last = notation.marks[-1].item if notation.marks else None
    ends = bool(notation.operations) and isinstance(notation.operations[-1], Linear)
    end = "" if ends or len(out) == 1 else "flatten, "
    fix = f"write linear {classes} at the end" if ends else f"end with {end}linear {classes}"
    what, must = "the output", f"a vector of {classes} numbers, one for each class"
    fault = ConfigError(last.written if last else "", what, must, got=written(out), fix=fix)
    return NotationError(notation.text, last.at if last else 0, fault)


def _same_dropout(notation: Notation, network: Network, p: float) -> None:
    """The share that is asked for must be that of the text, which has the last word."""
    said = {float(step.operation.p) for step in network.steps if isinstance(step.operation, Dropout)}
    if said != {float(p)}:
        got = " and ".join(f"dropout {share:g}" for share in sorted(said)) or "no dropout in it"
        fault = ConfigError("", "the text", f"one that drops {p:g}", got=got, fix=f"write dropout {p:g} in the text")
        raise NotationError(notation.text, 0, fault)
