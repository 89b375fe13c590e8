"""What TensorBoard reads of a run is what metrics.csv says, once each, also of a resumed one."""

import csv
import os
import shutil
import signal

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from striate.base.errors import Stopped
from striate.experiment.events import EpochEnded, Stepped
from striate.experiment.recipe import parse_recipe
from striate.experiment.train import go_on, start


@pytest.fixture(scope="module")
def recipe(recipe):
    return parse_recipe({**recipe.model_dump(), "track": {"tensorboard": True}})


def seen(run):
    found = EventAccumulator(str(run / "tensorboard"), purge_orphaned_data=False)  # nothing may need to be hidden
    found.Reload()
    return {tag: [(item.step, item.value) for item in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def finish(events):
    for _ in events:
        pass


def signalled(events):
    for event in events:
        if isinstance(event, Stepped) and event.step == 8:
            os.kill(os.getpid(), signal.SIGTERM)


def assert_agrees(run):
    curves = seen(run)
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    for column in ("train_loss", "validation_loss", "validation_accuracy", "lr"):
        expected = [(int(row["step"]), pytest.approx(float(row[column]), rel=1e-6)) for row in rows]
        assert curves[f"epoch/{column}"] == expected
    assert [step for step, _ in curves["update/loss"]] == list(range(1, 19))
    assert [step for step, _ in curves["test/accuracy"]] == [18]


def test_a_run_is_seen_whole_with_its_recipe(recipe, tmp_path):
    run = tmp_path / "run"
    finish(start(recipe, run=run))
    assert_agrees(run)
    found = EventAccumulator(str(run / "tensorboard"))
    found.Reload()
    (table,) = found.Tensors("recipe/text_summary")
    assert b"| lr | 0.01 |" in table.tensor_proto.string_val[0]


def test_a_stopped_and_resumed_run_has_every_step_once(recipe, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(Stopped):
        signalled(start(recipe, run=run))
    finish(go_on(run))
    assert_agrees(run)


def test_a_run_that_goes_back_to_its_checkpoint_has_every_step_once_and_misses_no_epoch(recipe, tmp_path):
    run = tmp_path / "run"
    events = start(recipe, run=run)
    for event in events:  # the checkpoint is of step 6; steps 7 to 9 are made again
        if isinstance(event, Stepped) and event.step == 9:
            break
    events.close()
    finish(go_on(run))
    assert_agrees(run)


def test_an_epoch_that_was_finished_unseen_is_made_up_for(recipe, tmp_path):
    run = tmp_path / "run"
    for event in start(recipe, run=run):
        if isinstance(event, EpochEnded):
            break
    shutil.rmtree(run / "tensorboard")
    finish(go_on(run))
    assert [step for step, _ in seen(run)["epoch/train_loss"]] == [6, 12, 18]
