"""A network's card: what it is, how it is built and trained, and what was published of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

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
    """

    num_classes: int | None
    in_channels: int
    image_size: int
    dropout: float | None = None

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
        heads: puts a network into one that is trained with it and left behind afterwards; that one calls it `network`.
        loss: from a loss of (logits, labels) to the loss of what the network gives in training; None: the same.
    """

    builder: Callable[[Options], nn.Module]
    usual: Options
    source: str
    faithful: str
    sample: Callable[[Options], Shape] = picture
    task: Task = "classify"
    published: Mapping[str, int | float] = field(default_factory=dict)
    start: Callable[[nn.Module, int], None] = initialise
    heads: Callable[[nn.Module], nn.Module] | None = None
    loss: Callable[[Criterion], Criterion] | None = None
