"""What a command is about: a network by name, or one that a run has kept, with the shape that it takes."""

import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

import torch
from torch import nn

from striate.analysis.inspect import inspect
from striate.analysis.summary import Summary
from striate.analysis.table import WIDTH
from striate.base.errors import ConfigError
from striate.base.operations import Shape
from striate.models.card import Card, Options, tokens
from striate.models.catalogue import MODELS, card, options, skeleton


@dataclass(frozen=True, slots=True)
class Subject:
    """A network, not trained and without numbers where it can be.

    Args:
        model: the network.
        shape: of one sample.
        dtype: of a sample's numbers.
        title: what to call it; None is its class.
        facts: (name, text) pairs: what is known of it beside what it computes.
    """

    model: nn.Module
    shape: Shape
    dtype: torch.dtype
    title: str | None
    facts: tuple[tuple[str, str], ...]

    def summary(self, batch_size: int) -> Summary:
        """Its analysis."""
        return inspect(self.model, self.shape, batch_size=batch_size, dtype=self.dtype, title=self.title)

    def head(self) -> str:
        """The facts as text."""
        lines = (wrap(f"{name}: {text}", WIDTH, subsequent_indent="  ") for name, text in self.facts)
        return "\n".join(line for lines_ in lines for line in lines_)


def subject(name: str, size: str | None, classes: int | None) -> Subject:
    """A network by its name, or of a run or bundle.

    Args:
        name: what `catalogue.card` takes, or a folder or .zip that holds a trained network.
        size: one sample's shape, such as "3x32x32"; None: the network's own.
        classes: how many; None: the network's own.

    Raises:
        ConfigError: no such network, or a shape or number that it does not take.
        ModelFileError: a run or bundle that is damaged.
    """
    shape = None if size is None else shape_of(size)
    if name not in MODELS and (os.path.isdir(name) or zipfile.is_zipfile(name)):
        return _kept(Path(name), shape, classes)
    chosen = card(name)
    asked = _options(name, chosen, shape, classes)
    with torch.device("meta"):
        model = skeleton(name, asked)
    kind = torch.int64 if chosen.sample is tokens else torch.float32
    title = name if name in MODELS else None
    return Subject(model, shape or chosen.sample(asked), kind, title, tuple(_facts(chosen)))


def shape_of(text: str) -> Shape:
    """A shape as one writes it.

    >>> shape_of("3x32x32"), shape_of("784")
    ((3, 32, 32), (784,))

    Raises:
        ConfigError: it is none.
    """
    parts = re.split(r"\s*[x,×]\s*", text.strip())
    if not all(re.fullmatch(r"[1-9]\d{0,8}", part) for part in parts):
        fix = "write for example 3x224x224: channels first, without the batch"
        raise ConfigError("inspect", "--input", "whole numbers >= 1 with x between", got=repr(text), fix=fix)
    return tuple(map(int, parts))


def _options(name: str, chosen: Card, shape: Shape | None, classes: int | None) -> Options:
    """The builder's options that lead to a sample of that shape; the network's own where none do."""
    usual = options(name, num_classes=classes)
    if shape is None:
        return usual
    for channels, side in ((None, shape[-1]), (shape[0], shape[-1]), (shape[0], None)):
        asked = options(name, num_classes=classes, in_channels=channels, image_size=side)
        if chosen.sample(asked) == shape:
            return asked
    return usual


def _facts(chosen: Card) -> list[tuple[str, str]]:
    """What the card says."""
    figures = ", ".join(f"{key.replace('_', ' ')} {value:,}" for key, value in chosen.published.items())
    known = (("source", chosen.source), ("this version", chosen.faithful), ("published figures", figures))
    return [(key, text) for key, text in known if text]


def _kept(location: Path, shape: Shape | None, classes: int | None) -> Subject:
    """The network of a run or bundle, with its own classes and size."""
    from striate.deploy.predictor import load

    if classes is not None:
        fix = "leave --classes out"
        raise ConfigError("inspect", "--classes", "left out for a trained network", got=classes, fix=fix)
    bundle = load(location).bundle
    architecture = bundle.config.architecture
    facts = (("network", architecture.name), ("from", str(location)), ("classes", ", ".join(bundle.config.classes)))
    side = architecture.image_size
    own = (architecture.in_channels, side, side)
    return Subject(bundle.model, shape or own, torch.float32, location.name, facts)
