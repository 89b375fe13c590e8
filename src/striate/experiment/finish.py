"""The end of a run: the best epoch is judged once on the test split, packed, and reported.

Every step can be repeated: a run killed here finishes here when it is resumed.  result.json comes last
and says that all is done.
"""

import math
from contextlib import nullcontext

from striate import __version__
from striate.base.errors import ModelFileError, NumericError
from striate.base.files import make_folder
from striate.deploy.bundle import Bundle, Config, save_bundle
from striate.experiment.history import History
from striate.experiment.loop import measured, stopped
from striate.experiment.outcome import Outcome
from striate.experiment.picture_material import PictureMaterial
from striate.experiment.pictures import curves
from striate.experiment.position import load_weights
from striate.experiment.record_material import RecordMaterial
from striate.experiment.report import report
from striate.experiment.run_folder import RunFolder, environment
from striate.experiment.wiring import Wired
from striate.models.own_file import is_file
from striate.training.checkpoint import best
from striate.training.schedules import Schedule
from striate.training.signals import StopRequest


def finish(wired: Wired, history: History, folder: RunFolder, stop: StopRequest) -> Outcome:
    """Judge, pack and report the best epoch.

    Raises:
        ModelFileError: its checkpoint is damaged.
        ResourceError: something could not be written.
        Stopped: a signal came while it was judged; `striate resume` begins with the judging.
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
    load_weights(wired, wired.processes.from_first(lambda: best(folder.checkpoints, row.step)))
    test, number = measured(wired, "test", stop, nullcontext)  # in float32, as the bundle predicts
    if number:
        raise stopped(wired, history, folder, number)
    test = wired.task.completed(wired.network.eval(), test)
    outcome = Outcome(
        path=folder.path,
        task=wired.recipe.task,
        epochs=len(history.rows),
        train_seconds=history.seconds,
        validation_score=row.validation_score,
        test=test,
        parameters=wired.parameters,
        own_file=wired.recipe.model if wired.built.card.digest else None,
    )
    if wired.processes.first:
        _write(wired, history, folder, outcome)
    return outcome


def _write(wired: Wired, history: History, folder: RunFolder, outcome: Outcome) -> None:
    row = history.best
    assert row is not None
    pictures = {"curves.png": curves(history, row, _rates(wired, history)), **wired.task.pictures(wired, outcome.test)}
    for name, content in pictures.items():
        folder.write(name, content)
    make_folder(folder.path / "samples")
    for name, content in wired.task.samples(wired).items():
        folder.write(f"samples/{name}", content)
    save_bundle(folder.model, _bundle(wired), wired.task.card(wired, outcome, row))
    folder.write("report.html", report(wired, history, outcome, pictures))
    folder.write_json("result.json", outcome.as_dict())


def _rates(wired: Wired, history: History) -> Schedule:
    """The learning rate that every update was made with."""
    scores = history.scores
    return lambda update: wired.lr_at(scores[: update // wired.steps_per_epoch])(update)


def _bundle(wired: Wired) -> Bundle:
    versions, material = environment(), wired.material
    assert isinstance(material, PictureMaterial | RecordMaterial)
    preprocess = material.preprocess if isinstance(material, PictureMaterial) else material.reading
    config = Config(
        task=wired.recipe.task,
        architecture=wired.architecture,
        preprocess=preprocess.as_dict(),
        classes=material.classes,
        data_fingerprint=material.fingerprint,
        versions={"striate": __version__, **{name: versions[name] for name in ("torch", "pillow", "python")}},
    )
    return Bundle(model=wired.network, preprocess=preprocess, config=config)


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
