"""Samples of any shape as the data of a run: signals, volumes, texts, tables, pictures with masks or numbers."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from torch import Tensor

from striate.base.errors import ConfigError, DataError
from striate.base.operations import written
from striate.data.batches import Batch, epoch_order, whole
from striate.data.manifest import Rows
from striate.data.picture import Picture
from striate.data.record_set import RecordPart, batch_of
from striate.data.record_texts import texts_of, tokenised
from striate.data.records import divide_records, open_records
from striate.data.sample_input import SampleInput, measured
from striate.data.tokenizer import fit_tokenizer, split_text
from striate.experiment.material import EVALUATION_BATCH, PARTS
from striate.experiment.recipe import Recipe
from striate.experiment.settle import settle
from striate.models.card import Given
from striate.models.catalogue import card

NUMBERS_AT_ONCE = 2**21  # of a batch of samples that are judged: a network makes many times as many
MOST_TOKENS = 400  # of a text, where no size is asked for
LEAST_TOKENS = 5  # that textcnn takes


@dataclass(frozen=True, eq=False)
class RecordMaterial:
    """Samples divided, read as the network wants them.

    Args:
        parts: to train, to validate and to test.
        reading: how samples are read and numbers told.
        seed: of the run.
        device: where batches go.
    """

    parts: dict[str, RecordPart]
    reading: SampleInput
    seed: int
    device: str

    @property
    def name(self) -> str:
        """Short, for the name of a run."""
        return self.parts["train"].records.name

    @property
    def location(self) -> str:
        """Where the data lie."""
        return self.parts["train"].records.location

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, the labels or the numbers."""
        return self.parts["train"].records.classes

    @property
    def notes(self) -> tuple[str, ...]:
        """How the data were read."""
        return self.parts["train"].records.notes

    @property
    def left_out(self) -> tuple[object, ...]:
        """Nothing ever is."""
        return ()

    def count(self, part: str) -> int:
        """Samples of a part."""
        return len(self.parts[part])

    def given(self) -> Given:
        """As many outputs as there are names, and the shape of a sample."""
        shape, tokenizer = self.reading.shape, self.reading.tokenizer
        return Given(
            num_classes=len(self.classes) or None,
            in_channels=shape[0] if tokenizer is None else tokenizer.tokens,
            image_size=shape[-1],
            shape=shape,
        )

    def training(
        self, epoch: int, first: int, *, batch_size: int, rows: Callable[[int], slice] = whole
    ) -> Iterator[Batch]:
        """The batches of an epoch from number `first` on, in the order of `epoch_order`."""
        part = self.parts["train"]
        order = part.rows[epoch_order(len(part), self.seed, epoch).numpy()]
        for start in range(first * batch_size, len(order), batch_size):
            batch = order[start : start + batch_size]
            yield self._batch(part, batch[rows(len(batch))])

    def evaluation(self, part: str, *, rows: Callable[[int], slice] = whole) -> Iterator[Batch]:
        """The samples of a part once, in their order."""
        chosen = self.parts[part]
        places = chosen.rows[rows(len(chosen))]
        count = min(EVALUATION_BATCH, max(1, NUMBERS_AT_ONCE // prod(self.reading.shape)))
        for start in range(0, len(places), count):
            yield self._batch(chosen, places[start : start + count])

    def _batch(self, part: RecordPart, rows: np.ndarray) -> Batch:
        samples, targets = batch_of(part.records, rows)
        x = self.reading.to_input(samples).to(self.device)
        return x, self._targets(part, x, targets).to(self.device)

    def _targets(self, part: RecordPart, x: Tensor, targets: Tensor) -> Tensor:
        if part.records.kind == "none":
            return x
        return self.reading.to_target(targets) if part.records.kind == "numbers" else targets

    @cached_property
    def _digests(self) -> dict[str, list[str]]:
        """SHA-256 of every sample with its target, by part."""
        return {name: [_digest(part, row) for row in part.rows.tolist()] for name, part in self.parts.items()}

    @cached_property
    def fingerprint(self) -> str:
        """Of contents, targets, names and the division."""
        total = hashlib.sha256(json.dumps([self.parts["train"].records.kind, *self.classes]).encode())
        for name in PARTS:
            total.update(json.dumps([name, *sorted(self._digests[name])]).encode())
        return total.hexdigest()

    def describe(self) -> dict[str, object]:
        """What data.json holds beside the location."""
        kind = self.parts["train"].records.kind
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "kind": kind,
            "classes": list(self.classes),
            "shape": list(self.reading.shape),
            "splits": {name: {"count": len(part), **_per_class(part)} for name, part in self.parts.items()},
            "notes": list(self.notes),
        }

    def listing(self) -> Rows:
        """Every sample by its place in the data, with its class, labels or numbers."""
        return {
            (name, str(row)): (_told(part, row), digest)
            for name, part in self.parts.items()
            for row, digest in zip(part.rows.tolist(), self._digests[name], strict=True)
        }

    def close(self) -> None:
        """Nothing is held open."""


def _digest(part: RecordPart, row: int) -> str:
    sample, target = part.records.inputs[row], part.records.targets[row]
    content = sample.encode() if isinstance(sample, str) else np.ascontiguousarray(sample).tobytes()
    return hashlib.sha256(content + np.ascontiguousarray(target).tobytes()).hexdigest()


def _told(part: RecordPart, row: int) -> str:
    records, target = part.records, part.records.targets[row]
    match records.kind:
        case "classes":
            return records.classes[int(target)]
        case "labels":
            return " ".join(name for name, there in zip(records.classes, target, strict=True) if there)
        case "numbers":
            return " ".join(f"{number:.9g}" for number in target.tolist())
    return ""


def _per_class(part: RecordPart) -> dict[str, object]:
    records = part.records
    if records.kind not in ("classes", "labels"):
        return {}
    held = records.targets[part.rows]
    counts = np.bincount(held, minlength=len(records.classes)) if records.kind == "classes" else held.sum(0)
    return {"per_class": {name: int(n) for name, n in zip(records.classes, counts, strict=True)}}


def record_material(recipe: Recipe, location: str, device: str) -> tuple[Recipe, RecordMaterial]:
    """The recipe with nothing left open, and its samples.

    Raises:
        DataError: data that cannot be trusted, or too few to validate and to test with.
        ConfigError: options that mean nothing for such data.
    """
    _refuse_for_records(recipe)
    records = open_records(location, recipe.task, _picture(recipe))
    split = recipe.split
    divided = divide_records(
        records, seed=recipe.seed, validation_fraction=split.validation_fraction, test_fraction=split.test_fraction
    )
    for title, part in zip(PARTS, divided, strict=True):
        if not len(part):
            fix = "bring a split of your own, or more samples"
            raise DataError(records.location, f"{title} samples", "at least one", got="none", fix=fix)
    train, *others = divided
    if records.inputs.dtype == object:
        reading, (train, *others) = _read_texts(recipe, divided)
    else:
        _check_size(recipe, tuple(records.inputs.shape[1:]))
        reading = measured(train, normalise=recipe.preprocess.normalise == "measured")
    _check_axes(recipe, reading.shape)
    material = RecordMaterial(dict(zip(PARTS, (train, *others), strict=True)), reading, recipe.seed, device)
    return settle(recipe, len(train), {}), material


def _read_texts(recipe: Recipe, parts: tuple[RecordPart, ...]) -> tuple[SampleInput, tuple[RecordPart, ...]]:
    """Texts as tokens, numbered by those of training."""
    texts = texts_of(parts[0])
    longest = max(len(split_text(text)) for text in texts)
    length = recipe.preprocess.image_size or min(MOST_TOKENS, max(LEAST_TOKENS, longest))
    tokenizer = fit_tokenizer(texts, length=length)
    read = tokenised(parts, tokenizer)
    return SampleInput((length,), tokenizer=tokenizer), read


def _picture(recipe: Recipe) -> Picture | None:
    """What pictures of files are brought to, where the recipe says a size."""
    asked = recipe.preprocess
    if asked.image_size is None:
        return None
    return Picture(asked.channels or 3, asked.image_size, asked.image_size, resize=asked.resize)


def _check_size(recipe: Recipe, shape: tuple[int, ...]) -> None:
    """Arrays are taken as they are: a size or number of channels that they have not is refused."""
    asked = recipe.preprocess
    for name, value, there in (("image_size", asked.image_size, shape[-1]), ("channels", asked.channels, shape[0])):
        if value is not None and value != there:
            must, fix = f"{there}, as in the data, or left out", "only files of pictures are brought to a size"
            raise ConfigError("recipe", f"preprocess.{name}", must, got=value, fix=fix)


def _check_axes(recipe: Recipe, shape: tuple[int, ...]) -> None:
    """Refuse a network for other kinds of samples before it is built with sizes that mean nothing to it."""
    chosen = card(recipe.model)
    takes = chosen.sample(chosen.usual)
    if chosen.text is None and chosen.digest is None and len(takes) != len(shape):
        must, fix = f"such as {written(takes)}, which {recipe.model} takes", f"take {_for_axes(len(shape))}"
        raise ConfigError("recipe", "samples of the data", must, got=written(shape), fix=fix)


def _for_axes(axes: int) -> str:
    known = {1: "textcnn for texts, and for numbers", 2: "signal1d, or", 3: "lenet5, or", 4: "c3d-small, or"}
    return f"{known.get(axes, '')} a text such as 'flatten, linear 64, tanh, linear 1'"


def _refuse_for_records(recipe: Recipe) -> None:
    """What is for pictures with classes alone."""
    asked, split = recipe.preprocess, recipe.split
    told = (
        ("preprocess.normalise", asked.normalise, asked.normalise in ("measured", "none")),
        ("preprocess.resize", asked.resize, recipe.task != "segment" or asked.resize == "squash"),
        ("sampling.balanced", recipe.sampling.balanced, not recipe.sampling.balanced),
        ("split.folds", split.folds, not split.folds),
        ("split.skip_bad", split.skip_bad, not split.skip_bad),
        ("augment", "random changes", recipe.augment.changes().changes_nothing),
    )
    for key, value, fine in told:
        if not fine:
            fix = f"remove {key}: it is for pictures with classes"
            raise ConfigError("recipe", key, "left out for such data", got=value, fix=fix)
