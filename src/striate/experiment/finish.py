"""The end of a run: the best epoch is judged once on the test split, packed, and reported.

Every step can be repeated: a run killed here finishes here when it is resumed.  result.json comes last
and says that all is done.
"""

import math
import re

import numpy as np

from striate import __version__
from striate.base.errors import ModelFileError, NumericError
from striate.base.files import make_folder
from striate.data.batches import evaluation_batches
from striate.deploy.bundle import Bundle, Config, save_bundle
from striate.evaluate.classification import classification
from striate.evaluate.collect import collect
from striate.experiment.card import model_card
from striate.experiment.history import EpochRow, History
from striate.experiment.loop import EVALUATION_BATCH
from striate.experiment.outcome import Outcome
from striate.experiment.pictures import confusion_matrix, curves, sample_file
from striate.experiment.position import load_weights
from striate.experiment.report import report
from striate.experiment.run_folder import RunFolder, environment
from striate.experiment.wiring import Wired
from striate.models.own_file import is_file
from striate.training.checkpoint import best


def finish(wired: Wired, history: History, folder: RunFolder) -> Outcome:
    """Judge, pack and report the best epoch.

    Raises:
        ModelFileError: its checkpoint is damaged.
        ResourceError: something could not be written.
    """
    row = history.best
    assert row is not None
    if math.isnan(row.validation_loss):
        raise NumericError(
            "training",
            "the validation loss of some epoch",
            "a number",
            got="nan in every one",
            fix="lower lr; the run folder holds the checkpoints, and no model was made",
        )
    load_weights(wired, best(folder.checkpoints, row.step))
    batches = evaluation_batches(wired.dataset.test, wired.preprocess, EVALUATION_BATCH, device=wired.plan.device)
    logits, labels = collect(wired.network, batches)
    outcome = Outcome(
        path=folder.path,
        epochs=len(history.rows),
        train_seconds=history.seconds,
        validation_accuracy=row.validation_score,
        test=classification(logits, labels, wired.dataset.classes),
        parameters=wired.parameters,
        own_file=wired.recipe.model if wired.card.digest else None,
    )
    _write(wired, history, folder, outcome, row)
    return outcome


def _write(wired: Wired, history: History, folder: RunFolder, outcome: Outcome, row: EpochRow) -> None:
    pictures = {"curves.png": curves(history, row), "confusion.png": confusion_matrix(outcome.test)}
    for name, content in pictures.items():
        folder.write(name, content)
    _write_samples(wired, folder)
    card = model_card(wired, outcome, row)
    save_bundle(folder.model, _bundle(wired), card)
    folder.write("report.html", report(wired, history, outcome, pictures))
    folder.write_json("result.json", outcome.as_dict())


def _bundle(wired: Wired) -> Bundle:
    versions = environment()
    config = Config(
        architecture=wired.architecture,
        preprocess=wired.preprocess.as_dict(),
        classes=wired.dataset.classes,
        data_fingerprint=wired.dataset.fingerprint,
        versions={"striate": __version__, **{name: versions[name] for name in ("torch", "pillow", "python")}},
    )
    return Bundle(model=wired.network, preprocess=wired.preprocess, config=config)


def _write_samples(wired: Wired, folder: RunFolder) -> None:
    """One test picture a class, as files that `striate predict` can be tried on."""
    test = wired.dataset.test
    samples = folder.path / "samples"
    make_folder(samples)
    for number, name in enumerate(wired.dataset.classes[:20]):
        places = np.flatnonzero(test.labels.numpy() == number)
        if len(places):
            suffix, content = sample_file(test.images[places[0]].numpy())
            safe = re.sub(r"[^\w.-]+", "_", name)
            folder.write(f"samples/{number:02d}-{safe}.{suffix}", content)


def outcome_of(folder: RunFolder) -> Outcome | None:
    """What a finished run came to; None while it is not finished.

    Raises:
        ModelFileError: its result.json is not one.
    """
    if not (folder.path / "result.json").is_file():
        return None
    values = folder.read_json("result.json")
    try:
        named = folder.recipe().model
        return Outcome.from_dict(folder.path, values or {}, named if is_file(named) else None)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ModelFileError(
            "run",
            str(folder.path / "result.json"),
            "as the run wrote it",
            got="something else",
            fix="remove that file and `striate resume` the run: it is made again",
        ) from error
