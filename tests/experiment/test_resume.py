"""A stopped and resumed run is the unbroken run, bit for bit."""

import itertools
import os
import random
import signal
from dataclasses import replace
from multiprocessing import get_context

import pytest
import torch

from striate.base.errors import ConfigError, DataError, ModelFileError, Stopped
from striate.experiment import picture_material
from striate.experiment.events import EpochEnded, Finished, Started, Stepped
from striate.experiment.recipe import parse_recipe
from striate.experiment.train import go_on, start
from striate.training.checkpoint import newest


def last_weights(run):
    return newest(run / "checkpoints")[0].tensors


def assert_same_run(one, other):
    a, b = last_weights(one), last_weights(other)
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name
    for one_row, other_row in zip(rows(one), rows(other), strict=True):
        assert one_row == other_row


def rows(run):
    """metrics.csv without what a clock says."""
    lines = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    return [line[:2] + line[3:7] for line in lines]


def finish(events):
    return next(event.outcome for event in events if isinstance(event, Finished))


def train(events):
    """All the epochs, without the report that comes after them."""
    for event in events:
        if isinstance(event, EpochEnded) and event.row.epoch == event.epochs:
            events.close()
            return


def stop_after(events, steps):
    """SIGTERM in the middle of the run, as it would come from outside."""
    made = 0
    for event in events:
        made += isinstance(event, Stepped)
        if made == steps:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="module")
def unbroken(recipe, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "unbroken"
    finish(start(recipe, run=run))
    return run


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(recipe, unbroken, tmp_path):
    train(start(recipe, run=tmp_path / "again"))
    assert_same_run(unbroken, tmp_path / "again")
    other = recipe.model_copy(update={"seed": 1})
    train(start(other, run=tmp_path / "other"))
    assert not torch.equal(
        last_weights(unbroken)["model.features.0.weight"], last_weights(tmp_path / "other")["model.features.0.weight"]
    )


@pytest.mark.parametrize("steps", [1, 2, 5, 6, 7, 11, 17])  # 6 steps an epoch: in it, at its end, at its start
def test_a_run_stopped_at_any_step_goes_on_as_if_it_had_not(recipe, unbroken, tmp_path, steps):
    run = tmp_path / "stopped"
    with pytest.raises(
        Stopped, match=rf"stopped by SIGTERM at epoch \d of 3, step \d+; continue with: striate resume {run}"
    ):
        stop_after(start(recipe, run=run), steps)
    events = go_on(run)
    assert "from step" in next(events).headline
    train(events)
    assert_same_run(unbroken, run)


def test_a_control_that_forgets_its_place_in_the_epoch_ends_elsewhere(recipe, unbroken, tmp_path, monkeypatch):
    run = tmp_path / "forgetful"
    with pytest.raises(Stopped):
        stop_after(start(recipe, run=run), 3)
    real = picture_material.training_batches

    def from_the_beginning(feed, epoch, first, rows):
        return itertools.islice(real(feed, epoch, 0, rows), 6 - first)

    monkeypatch.setattr(picture_material, "training_batches", from_the_beginning)
    train(go_on(run))
    with pytest.raises(AssertionError):
        assert_same_run(unbroken, run)


def test_stopped_again_and_again_it_still_arrives(recipe, unbroken, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(Stopped):
        stop_after(start(recipe, run=run), 2)
    for _ in range(5):
        with pytest.raises(Stopped):
            stop_after(go_on(run), 2)
    train(go_on(run))
    assert_same_run(unbroken, run)


def test_after_steps_in_another_precision_the_scale_of_the_loss_begins_anew(recipe, tmp_path, monkeypatch):
    run = tmp_path / "run"  # as one that began on a GPU in float16, went on without it, and is back
    with pytest.raises(Stopped):
        stop_after(start(recipe, run=run), 2)

    def in_float16(plan, processes):
        return replace(plan, engine="torch", precision="float16")

    monkeypatch.setattr("striate.experiment.train.followed", in_float16)
    assert "float16" in next(go_on(run)).headline


def _child(recipe, run):
    torch.set_num_threads(1)
    events = go_on(run) if (run / "checkpoints").is_dir() and any((run / "checkpoints").glob("*.json")) else None
    for _ in events or start(recipe, run=run, overwrite=True):
        pass


@pytest.mark.slow
def test_killed_twenty_times_at_random_moments_it_ends_in_the_same_bits(recipe, unbroken, tmp_path):
    often = recipe.model_copy(update={"execution": recipe.execution.model_copy(update={"checkpoint_seconds": 0.001})})
    run = tmp_path / "killed"
    context = get_context("forkserver")
    context.set_forkserver_preload(["striate.experiment.train"])
    moments = random.Random(0)
    killed = 0
    for _ in range(200):
        process = context.Process(target=_child, args=(often, run))
        process.start()
        process.join(moments.uniform(0.0, 0.5))
        if killed < 20:
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        if (run / "result.json").exists():
            if killed >= 20:
                break
            for path in (run / "result.json", *run.glob("*.png")):  # early to the end: kill the ending as well
                path.unlink()
    assert killed == 20
    assert_same_run(unbroken, run)


def test_a_finished_run_is_left_as_it_is(recipe, unbroken):
    before = {path: path.stat().st_mtime_ns for path in unbroken.rglob("*") if path.is_file() and path.name != ".lock"}
    outcome = finish(go_on(unbroken))
    assert outcome.epochs == 3
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_stopped_in_validation_it_begins_with_the_validation(recipe, unbroken, tmp_path, monkeypatch):
    run = tmp_path / "run"
    real = picture_material.evaluation_batches

    def signalled(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        yield from real(*arguments, **options)

    monkeypatch.setattr(picture_material, "evaluation_batches", signalled)
    with pytest.raises(Stopped, match="stopped by SIGINT at epoch 1 of 3, step 6") as stopped:
        finish(start(recipe, run=run))
    assert stopped.value.exit_code == 130
    monkeypatch.undo()
    events = go_on(run)
    assert isinstance(next(events), Started)
    assert isinstance(next(events), EpochEnded)
    train(events)
    assert_same_run(unbroken, run)


@pytest.fixture
def stopped(recipe, tmp_path):
    with pytest.raises(Stopped):
        stop_after(start(recipe, run=tmp_path / "stopped"), 8)
    return tmp_path / "stopped"


def test_a_damaged_newest_checkpoint_is_passed_over_and_said(stopped, unbroken):
    path = sorted((stopped / "checkpoints").glob("*.safetensors"))[-1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    events = go_on(stopped)
    notes = next(events).notes
    assert any("checksum that does not match" in note and "going on from step 6" in note for note in notes)
    train(events)
    assert_same_run(unbroken, stopped)


def test_with_every_checkpoint_damaged_it_says_so(stopped):
    for path in (stopped / "checkpoints").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelFileError, match="the checkpoint is damaged"):
        finish(go_on(stopped))


def test_a_recipe_that_was_changed_is_refused(stopped):
    file = stopped / "recipe.toml"
    file.write_text(file.read_text().replace("batch_size = 16", "batch_size = 32").replace("seed = 0", "seed = 9"))
    with pytest.raises(ConfigError, match=r"batch_size 16 -> 32; seed 0 -> 9\.\n  Fix: put it back"):
        finish(go_on(stopped))


def test_data_that_were_changed_are_refused(recipe, shapes, tmp_path):
    import numpy as np

    copy = tmp_path / "copy.npz"
    arrays = dict(np.load(shapes))
    np.savez(copy, **arrays)
    run = tmp_path / "run"
    with pytest.raises(Stopped):
        stop_after(start(parse_recipe({**recipe.model_dump(), "data": str(copy)}), run=run), 2)
    arrays["x"][0, 0, 0] ^= 255
    np.savez(copy, **arrays)
    with pytest.raises(DataError, match="other pictures or labels"):
        finish(go_on(run))


def test_two_processes_do_not_share_a_run(stopped):
    events = go_on(stopped)
    next(events)
    with pytest.raises(ConfigError, match="in use by process"):
        next(go_on(stopped))
    events.close()


def test_what_a_killed_ending_leaves_is_removed(recipe, unbroken, tmp_path):
    import shutil

    run = shutil.copytree(unbroken, tmp_path / "run")
    (run / "result.json").unlink()
    for place in ("samples", "checkpoints", "."):
        (run / place / ".x.png.tmp-999999").write_text("half")
    finish(go_on(run))
    assert not list(run.rglob("*.tmp-*"))


def test_a_checkpoint_of_another_make_is_refused_with_a_sentence(stopped):
    from striate.training.checkpoint import Checkpoint, save_checkpoint

    found, _ = newest(stopped / "checkpoints")
    for change in ({"history": {"rows": [{}]}}, {"history": None}, {"device": None, "fingerprint": 3}):
        other = Checkpoint(found.step + 1, found.tensors, {**found.record, **change})
        save_checkpoint(stopped / "checkpoints", other, best_step=None)
        with pytest.raises((ModelFileError, DataError), match="Fix"):
            next(go_on(stopped))
    tensors = {
        name: tensor[..., :1] if name.startswith("optimizer.0") else tensor for name, tensor in found.tensors.items()
    }
    save_checkpoint(stopped / "checkpoints", Checkpoint(found.step + 1, tensors, found.record), best_step=None)
    with pytest.raises(ModelFileError, match="has shape"):
        next(go_on(stopped))
