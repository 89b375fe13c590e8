"""A network's card: what it is, how it is built and trained, and what was published of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.base.operations import Shape
from striate.layers.initialise import initialise

Criterion = Callable[[Tensor, Tensor], Tensor]  # (logits, labels) -> mean loss
Task = Literal["classify", "segment", "reconstruct"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a builder is told.

    Args:
        num_classes: how many outputs; None where the network has no classes.
        in_channels: channels of the input: 1 is grey, 3 is colour; for text, how many tokens there are.
        image_size: side of the square picture in pixels; samples of a signal, tokens of a text.
        dropout: share of features that training drops; None where the network drops none.
        shape: of one sample, told to a network that takes any; None where channels and size say it.
    """

    num_classes: int | None
    in_channels: int
    image_size: int
    dropout: float | None = None
    shape: Shape | None = None

    @property
    def classes(self) -> int:
        """How many classes, of a network that has any."""
        assert self.num_classes is not None
        return self.num_classes

    @property
    def p(self) -> float:
        """The share dropped, of a network that drops any."""
        assert self.dropout is not None
        return self.dropout


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a caller asks of a network; None is what he leaves to it.

    Args:
        num_classes: how many outputs.
        in_channels: channels of the input.
        image_size: side of the square picture in pixels.
        dropout: share of features that training drops.
        shape: of one sample, where it need not be a square picture; a network of one kind of sample does not ask it.
    """

    num_classes: int | None = None
    in_channels: int | None = None
    image_size: int | None = None
    dropout: float | None = None
    shape: Shape | None = None

    def check(self, where: str, usual: Options) -> None:
        """Refuse numbers out of range."""
        if self.num_classes is not None and self.num_classes < 1:
            fix = "give at least two classes, or one number to be told"
            raise ConfigError(where, "num_classes", ">= 1", got=self.num_classes, fix=fix)
        if self.in_channels is not None and self.in_channels < 1:
            raise ConfigError(where, "in_channels", ">= 1", got=self.in_channels, fix="1 is grey, 3 is colour")
        if self.image_size is not None and self.image_size < 1:
            fix = f"{usual.image_size} is usual"
            raise ConfigError(where, "image_size", ">= 1", got=self.image_size, fix=fix)


def settled(where: str, usual: Options, given: Given) -> Options:
    """What is given, and the network's own for the rest.

    Raises:
        ConfigError: a number out of range, or one that means nothing to this network.
    """
    if given.num_classes is not None and usual.num_classes is None:
        raise ConfigError(where, "num_classes", "left out", got=given.num_classes, fix="it has no classes")
    if given.dropout is not None and usual.dropout is None:
        raise ConfigError(where, "dropout", "left out", got=given.dropout, fix="it drops nothing")
    given.check(where, usual)
    return Options(
        num_classes=usual.num_classes if given.num_classes is None else given.num_classes,
        in_channels=usual.in_channels if given.in_channels is None else given.in_channels,
        image_size=usual.image_size if given.image_size is None else given.image_size,
        dropout=usual.dropout if given.dropout is None else given.dropout,
    )


def picture(options: Options) -> Shape:
    """(C, H, W): the sample of most networks."""
    return options.in_channels, options.image_size, options.image_size


def signal(options: Options) -> Shape:
    """(C, W)."""
    return options.in_channels, options.image_size


def tokens(options: Options) -> Shape:
    """(W,), whole numbers from 0 to in_channels - 1."""
    return (options.image_size,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a network is.

    Args:
        builder: makes it, with torch's own draw of weights.
        usual: its options as published, or as usual.
        source: paper and year.
        faithful: what is as published and what is not.
        sample: the shape of one sample: `picture`, `signal`, `tokens`, or one of the network's own.
        task: what it is for.
        published: figures of the paper that hold, by name, such as "parameters".
        start: draws the first weights from the seed.
        lr_factor: what the usual learning rate of an optimiser is to be multiplied by, > 0.
        heads: puts a network into one that is trained with it and left behind afterwards; that one calls it `network`.
        loss: from a loss of (logits, labels) to the loss of what the network gives in training; None: the same.
        settle: from its name, its usual options and what is asked to what its builder is told.
        text: of the network that options make, in the notation; None where it has a name of its own.
        digest: SHA-256 of the user's file that builds it, in hexadecimal; None where no file of his does.
    """

    builder: Callable[[Options], nn.Module]
    usual: Options
    source: str
    faithful: str
    sample: Callable[[Options], Shape] = picture
    task: Task = "classify"
    published: Mapping[str, int | float] = field(default_factory=dict)
    start: Callable[[nn.Module, int], None] = initialise
    lr_factor: float = 1.0
    heads: Callable[[nn.Module], nn.Module] | None = None
    loss: Callable[[Criterion], Criterion] | None = None
    settle: Callable[[str, Options, Given], Options] = settled
    text: Callable[[Options], str] | None = None
    digest: str | None = None
