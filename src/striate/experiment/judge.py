"""Judge a trained model on a split: of the data it was trained on, or of others."""

from contextlib import closing
from pathlib import Path

import numpy as np

from striate.base.errors import ConfigError, DataError
from striate.data.batches import evaluation_batches
from striate.data.dataset import Dataset, load_part
from striate.data.preprocess import Preprocess
from striate.data.samples import Samples, Source
from striate.data.source import open_source, whole_location
from striate.data.split import Split
from striate.deploy.bundle import Bundle
from striate.deploy.predictor import Predictor, bundle_at
from striate.evaluate.classification import Classification, classification
from striate.evaluate.collect import collect
from striate.evaluate.result import Result
from striate.experiment.material import EVALUATION_BATCH
from striate.experiment.opening import opened
from striate.experiment.picture_material import prepare_data, storage_of
from striate.experiment.recipe import Recipe
from striate.experiment.run_folder import RunFolder
from striate.experiment.tasks.catalogue import TASKS
from striate.experiment.tasks.outputs import outputs_of_part

SPLITS = ("train", "validation", "test")


def judge(location: Path, *, data: str | None = None, split: str | None = None, model: str | None = None) -> Result:
    """Accuracy and the rest of a run or bundle, or the figures of another task.

    Args:
        location: a run folder or a bundle.
        data: other data than those of the run; needed for a bundle.
        split: "train", "validation" or "test"; None is test, or all of other data that bring no split.
        model: FILE.py:NAME of the network, which is run, for a model that was trained from such a file.

    Raises:
        ConfigError: a bundle without data, no such split, or other data for another task than sorting pictures.
        DataError: classes that the model does not know, or other pictures than those of the run.
        ModelFileError: no model there.
    """
    if split is not None and split not in SPLITS:
        raise ConfigError("evaluate", "split", f"one of {', '.join(SPLITS)}", got=split, fix="test is usual")
    bundle, folder = bundle_at(location, model), RunFolder(location)
    if bundle.config.task != "classify" or not isinstance(bundle.preprocess, Preprocess):
        return _of_task(bundle, folder, data, split or "test")
    return _of_pictures(Predictor(bundle), folder, data, split)


def _of_task(bundle: Bundle, folder: RunFolder, data: str | None, split: str) -> Result:
    """How good the network is at its task, on a split of the run's own data."""
    if data is not None or not folder.recipe_file.is_file():
        must = f"the run's own, for a network that was trained to {bundle.config.task}"
        fix = "name the folder of the run, and leave --data out"
        raise ConfigError("evaluate", "data", must, got=data or "a bundle without its run", fix=fix)
    recipe = folder.recipe()
    _, material = opened(recipe, folder.data_location(recipe), None, "cpu", None)
    with closing(material):
        if material.fingerprint != bundle.config.data_fingerprint:
            raise _other_data(material.location, "put the data back")
        task = TASKS[recipe.task](recipe, material)
        result = task.measure((y, target) for _, y, target in outputs_of_part(bundle.model, material, split))
        return task.completed(bundle.model, result)


def _of_pictures(predictor: Predictor, folder: RunFolder, data: str | None, split: str | None) -> Classification:
    if data is None:
        chosen = _split_of(_own(predictor, folder), split or "test")
    elif _is_own(predictor, folder, data):  # pictures that trained must not judge
        chosen = _split_of(_run_data(predictor, folder), split or "test")
    else:
        chosen = _others(predictor, data, split, folder)
    with closing(chosen.pictures):
        batches = evaluation_batches(chosen, predictor.preprocess, EVALUATION_BATCH)
        logits, labels = collect(predictor.bundle.model, batches)
    return classification(logits, labels, predictor.classes)


def _own(predictor: Predictor, folder: RunFolder) -> Dataset:
    """The data that the run was trained on."""
    if not folder.recipe_file.is_file():
        raise ConfigError(
            "evaluate", "data", "given for a bundle", got="none", fix="add --data with pictures of the same classes"
        )
    dataset = _run_data(predictor, folder)
    if dataset.fingerprint != predictor.bundle.config.data_fingerprint:
        fix = f"put the data back, or judge the new ones with --data {dataset.location}"
        raise _other_data(dataset.location, fix)
    return dataset


def _other_data(location: str, fix: str) -> DataError:
    got = f"other samples or labels in {location}"
    return DataError("evaluate", "data", "those the run was trained on", got=got, fix=fix)


def _is_own(predictor: Predictor, folder: RunFolder, data: str) -> bool:
    """Whether these are the very data that the run was trained on."""
    if not folder.recipe_file.is_file() or whole_location(data) != folder.data_location(folder.recipe()):
        return False
    with closing(_run_data(predictor, folder)) as dataset:
        return dataset.fingerprint == predictor.bundle.config.data_fingerprint


def _run_data(predictor: Predictor, folder: RunFolder) -> Dataset:
    recipe = folder.recipe()
    source = open_source(folder.data_location(recipe))
    return prepare_data(recipe, source, picture=predictor.preprocess.picture)


def _split_of(dataset: Dataset, split: str) -> Split:
    return {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}[split]


def _others(predictor: Predictor, data: str, split: str | None, folder: RunFolder) -> Split:
    """A split of other data, or all of it, with class numbers of the model, by name."""
    source = open_source(data)
    samples = source.parts.get(split or "test") or source.parts.get("all" if split is None else "")
    if samples is None:
        parts = ", ".join(part for part in source.parts if part != "all")
        raise ConfigError(
            "evaluate",
            "split",
            f"one of {parts}" if parts else "left out for data that bring no split",
            got=split or "test",
            fix="choose another" if parts else "without --split all of the pictures are taken",
        )
    recipe = folder.recipe() if folder.recipe_file.is_file() else Recipe()
    chosen = _renumbered(source, samples, predictor.classes)
    return load_part(source, chosen, predictor.preprocess.picture, storage_of(recipe))


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
    return Samples(samples.items, numbers[samples.labels], samples.names, samples.groups)
