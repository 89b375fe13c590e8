"""Judge a trained model on a split: of the data it was trained on, or of others."""

from pathlib import Path

import numpy as np

from striate.base.errors import ConfigError, DataError
from striate.data.batches import evaluation_batches
from striate.data.dataset import Dataset, load_part
from striate.data.samples import Samples, Source
from striate.data.source import open_source
from striate.data.split import Split
from striate.deploy.predictor import Predictor, load
from striate.evaluate.classification import Classification, classification
from striate.evaluate.collect import collect
from striate.experiment.loop import EVALUATION_BATCH
from striate.experiment.run_folder import RunFolder
from striate.experiment.wiring import prepare_data

SPLITS = ("train", "validation", "test")


def judge(location: Path, *, data: str | None = None, split: str = "test") -> Classification:
    """Accuracy and the rest of a run or bundle.

    Args:
        location: a run folder or a bundle.
        data: other data than those of the run; needed for a bundle.
        split: "train", "validation" or "test"; other data that bring no split are taken whole.

    Raises:
        ConfigError: a bundle without data, or no such split.
        DataError: classes that the model does not know, or other pictures than those of the run.
        ModelFileError: no model there.
    """
    if split not in SPLITS:
        raise ConfigError("evaluate", "split", f"one of {', '.join(SPLITS)}", got=split, fix="test is usual")
    predictor = load(location)
    chosen = _own(predictor, location, split) if data is None else _others(predictor, data, split)
    batches = evaluation_batches(chosen, predictor.bundle.preprocess, EVALUATION_BATCH)
    logits, labels = collect(predictor.bundle.model, batches)
    return classification(logits, labels, predictor.classes)


def _own(predictor: Predictor, location: Path, split: str) -> Split:
    """A split of the data that the run was trained on."""
    folder = RunFolder(location)
    if not folder.recipe_file.is_file():
        raise ConfigError(
            "evaluate", "data", "given for a bundle", got="none", fix="add --data with pictures of the same classes"
        )
    recipe, described = folder.recipe(), folder.read_json("data.json") or {}
    dataset = prepare_data(recipe, open_source(described.get("location", recipe.data)))
    if dataset.fingerprint != predictor.bundle.config.data_fingerprint:
        raise DataError(
            "evaluate",
            "data",
            "those the run was trained on",
            got=f"other pictures or labels in {dataset.location}",
            fix=f"put the data back, or judge the new ones with --data {dataset.location}",
        )
    return _split_of(dataset, split)


def _split_of(dataset: Dataset, split: str) -> Split:
    return {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}[split]


def _others(predictor: Predictor, data: str, split: str) -> Split:
    """A split of other data, or all of it, with class numbers of the model, by name."""
    source = open_source(data)
    samples = source.parts.get(split) or source.parts.get("all")
    if samples is None:
        raise ConfigError(
            "evaluate",
            "split",
            f"one of {', '.join(source.parts)} in {source.location}",
            got=split,
            fix="choose another",
        )
    return load_part(source, _renumbered(source, samples, predictor.classes), predictor.bundle.preprocess.picture)


def _renumbered(source: Source, samples: Samples, classes: tuple[str, ...]) -> Samples:
    unknown = sorted(set(source.classes) - set(classes))
    if unknown:
        raise DataError(
            "evaluate",
            "classes",
            f"among those of the model ({', '.join(classes)})",
            got=", ".join(unknown),
            fix="rename or leave out the folders of these classes",
        )
    numbers = np.array([classes.index(name) for name in source.classes], dtype=np.int64)
    return Samples(samples.items, numbers[samples.labels], samples.names)
