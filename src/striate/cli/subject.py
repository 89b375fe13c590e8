"""What a command is about: a network by name, as a text, from a file, or of a run, with the shape that it takes."""

import os
import re
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from textwrap import wrap

import torch
from torch import nn

from striate.analysis.inspect import inspect
from striate.analysis.misfit import MisfitError
from striate.analysis.summary import Summary
from striate.analysis.table import WIDTH
from striate.base.errors import ConfigError, ResourceError
from striate.base.marks import shown
from striate.base.memory import is_out_of_memory
from striate.base.network import Network
from striate.base.operations import Shape, written
from striate.data.sample_input import SampleInput
from striate.models.card import Card, Options, tokens
from striate.models.catalogue import MODELS, card, options, skeleton
from striate.models.chain import described_in_a_row
from striate.models.described import described
from striate.models.own_file import is_file, read_file
from striate.models.own_text import is_text, text_network
from striate.models.run_file import contained


@dataclass(frozen=True, slots=True)
class Subject:
    """A network, not trained, built without numbers where it can be.

    Args:
        build: makes the network.
        shape: of one sample.
        dtype: of a sample's numbers.
        title: what to call it; None is its class.
        facts: (name, text) pairs: what is known of it beside what it computes.
        usual: a shape of the kind that it takes, for errors; None where that is not known.
        around: what its code runs within.
        own: whether it comes from a file of the user's.
    """

    build: Callable[[], nn.Module]
    shape: Shape
    dtype: torch.dtype
    title: str | None
    facts: tuple[tuple[str, str], ...]
    usual: Shape | None = None
    around: Callable[[], AbstractContextManager[None]] = field(default=nullcontext)
    own: bool = False

    def summary(self, batch_size: int) -> Summary:
        """Its analysis; a network that needs numbers to be built or run is built a second time, with them.

        Raises:
            ConfigError: what `striate.inspect` refuses, or a shape of another number of axes than it takes.
        """
        with self.around():
            try:
                with torch.device("meta"):
                    model = self.build()
                return self._inspected(model, batch_size)
            except ConfigError as error:
                if not _lacks_numbers(error):
                    raise
            return self._inspected(self.build(), batch_size)

    def in_a_row(self) -> Network:
        """Its description, where its layers follow one another; what is no nn.Sequential is run, with weights, to see.

        Raises:
            ConfigError: it is no such network, or has a layer that has no description.
            ResourceError: it has to be run, and is too large for that.
        """
        model = None
        with self.around():
            with suppress(ConfigError), torch.device("meta"):  # a large one needs no memory; a file's may need numbers
                model = self.build()
            try:
                return described_in_a_row(model if type(model) is nn.Sequential else self.build(), self.shape)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
        must, fix = "run once, with its weights, to see its layers", "leave --native out, or let it be an nn.Sequential"
        raise ResourceError("inspect --native", "the network", must, got="out of memory", fix=fix)

    def _inspected(self, model: nn.Module, batch_size: int) -> Summary:
        try:
            return inspect(model, self.shape, batch_size=batch_size, dtype=self.dtype, title=self.title)
        except MisfitError:
            if self.usual is None or len(self.usual) == len(self.shape):
                raise
            must, got = f"of {len(self.usual)} axes, such as {written(self.usual)}", written(self.shape)
            where = f"{self.title or type(model).__name__}"
        raise ConfigError(where, "the input", must, got=got, fix=f"give --input {written(self.usual)}, or leave it out")

    def head(self) -> str:
        """The facts as text."""
        lines = (wrap(shown(f"{name}: {text}"), WIDTH, subsequent_indent="  ") for name, text in self.facts)
        return "\n".join(line for lines_ in lines for line in lines_)


def _lacks_numbers(error: BaseException | None) -> bool:
    """Whether an error, or one that it comes from, is about tensors that have no numbers."""
    while error is not None:
        if not isinstance(error, ConfigError) and "meta" in str(error).lower():
            return True
        error = error.__cause__ or error.__context__
    return False


def subject(name: str, size: str | None, classes: int | None) -> Subject:
    """A network by its name, or of a run or bundle.

    Args:
        name: what `catalogue.card` takes, or a folder or .zip that holds a trained network.
        size: one sample's shape, such as "3x32x32"; None: the network's own.
        classes: how many; None: the network's own.

    Raises:
        ConfigError: no such network, or a shape or number that it does not take.
        ModelFileError: a run or bundle that is missing or damaged.
    """
    shape = None if size is None else shape_of(size)
    if name not in MODELS and _is_place(name):
        return _kept(Path(name), shape, classes)
    chosen = card(name)
    facts = tuple(_facts(chosen))
    if chosen.text is not None:
        network = text_network(name, shape, classes)
        return Subject(lambda: described(network), network.input_shape, torch.float32, None, facts)
    asked = _options(name, chosen, shape, classes)
    own = chosen.sample(asked)
    kind = torch.int64 if chosen.sample is tokens else torch.float32
    if name in MODELS:
        return Subject(lambda: skeleton(name, asked), shape or own, kind, name, facts, own)
    path = read_file(name).path
    around = partial(contained, path, f"what {name.rpartition(':')[2]} does")
    return Subject(lambda: skeleton(name, asked), shape or own, kind, None, facts, around=around, own=True)


def _is_place(name: str) -> bool:
    """Whether a run or bundle is meant: a folder, an archive, or what could only be a path to one."""
    if os.path.isdir(name) or zipfile.is_zipfile(name):
        return True
    path_like = os.sep in name or name.lower().endswith(".zip") or os.path.isfile(name)
    return path_like and not is_file(name) and not is_text(name)


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
    """The builder's options that lead to a sample of that shape, or at least of its channels, where any do."""
    usual = options(name, num_classes=classes)
    if shape is None or len(shape) != len(chosen.sample(usual)):
        return usual
    for channels, side in ((None, shape[-1]), (shape[0], shape[-1]), (shape[0], None)):
        asked = options(name, num_classes=classes, in_channels=channels, image_size=side)
        if chosen.sample(asked) == shape:
            return asked
    return usual if chosen.sample is tokens else options(name, num_classes=classes, in_channels=shape[0])


def _facts(chosen: Card) -> list[tuple[str, str]]:
    """What the card says."""
    figures = ", ".join(f"{key.replace('_', ' ')} {value:,}" for key, value in chosen.published.items())
    known = (("source", chosen.source), ("this version", chosen.faithful), ("published figures", figures))
    return [(key, text) for key, text in known if text]


def _kept(location: Path, shape: Shape | None, classes: int | None) -> Subject:
    """The network of a run or bundle, with its own classes and size."""
    from striate.deploy.predictor import bundle_at

    if classes is not None:
        fix = "leave --classes out"
        raise ConfigError("inspect", "--classes", "left out for a trained network", got=classes, fix=fix)
    bundle = bundle_at(location)
    architecture = bundle.config.architecture
    facts = (("network", architecture.name), ("from", str(location)), ("classes", ", ".join(bundle.config.classes)))
    side = architecture.image_size
    square = (architecture.in_channels, side, side)
    reading = bundle.preprocess
    own = reading.shape if isinstance(reading, SampleInput) else square
    kind = torch.int64 if isinstance(reading, SampleInput) and reading.tokenizer is not None else torch.float32
    return Subject(lambda: bundle.model, shape or own, kind, location.name, facts, own)
