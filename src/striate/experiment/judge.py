"""Judge a trained model on a split: of the data it was trained on, or of others."""

from pathlib import Path

import torch
from torch import Tensor

from striate.base.errors import ConfigError, DataError
from striate.data.batches import evaluation_batches
from striate.data.dataset import Dataset, Split, prepare, read_all
from striate.data.source import open_source
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
    if data is not None:
        chosen = _others(predictor, data, split)
    else:
        chosen = _own(predictor, location, split)
    batches = evaluation_batches(chosen, predictor.bundle.preprocess, EVALUATION_BATCH)
    model = predictor.bundle.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    logits, labels = collect(model, batches)
    return classification(logits, labels, predictor.classes)
