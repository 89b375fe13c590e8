"""A run's own numbers can be shown to repeat, and nothing of it is touched."""

import hashlib
import os
import shutil
import signal

import pytest

from striate.base.errors import ModelFileError, NumericError, Stopped
from striate.experiment.events import Finished, Stepped
from striate.experiment.recipe import parse_recipe
from striate.experiment.train import go_on, start
from striate.experiment.verify import Verified, verify


def verified(run, epochs=1):
    return next(event for event in verify(run, epochs) if isinstance(event, Verified))


def contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    asked = {**recipe.model_dump(), "update": {"ema_decay": 0.9, "accumulate": 2}, "schedule": {"name": "plateau"}}
    asked["stopping"] = {"patience": 2}
    assert any(isinstance(event, Finished) for event in start(parse_recipe(asked), run=path))
    return path


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_repeats_and_resumes_bit_for_bit_and_is_only_read(run, epochs):
    before = contents(run)
    found = verified(run, epochs)
    assert (found.epochs, found.steps, found.stopped_at) == (epochs, 6 * epochs, 3 * epochs + 1)
    assert found.tensors == 30  # weights, their running mean, momentum
    assert contents(run) == before


def test_a_run_that_was_stopped_at_the_end_of_an_epoch_is_verified_as_any_other(recipe, tmp_path):
    path = tmp_path / "run"
    events = start(recipe, run=path)
    while not (isinstance(event := next(events), Stepped) and event.batch == event.batches - 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)  # so that the last step is saved before its validation, and after it anew
    with pytest.raises(Stopped):
        next(events), next(events)
    for _ in go_on(path):
        pass
    assert verified(path).epochs == 1


def test_numbers_that_another_training_gave_are_found_out(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "other")
    metrics = other / "metrics.csv"
    head, first, *rest = metrics.read_text().splitlines()
    cells = first.split(",")
    cells[4] = repr(float(cells[4]) + 1e-9)
    metrics.write_text("\n".join([head, ",".join(cells), *rest]) + "\n")
    with pytest.raises(NumericError, match=r"train_loss of epoch 1 must be as in the run"):
        verified(other)


def test_a_damaged_checkpoint_is_found_out(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "other")
    path = sorted((other / "checkpoints").glob("*.safetensors"))[0]
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="checksum that does not match"):
        verified(other)


def test_without_a_finished_epoch_there_is_nothing_to_verify(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "other")
    (other / "metrics.csv").unlink()
    with pytest.raises(ModelFileError, match="a run with a finished epoch"):
        verified(other)
