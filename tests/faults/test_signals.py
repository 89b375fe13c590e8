"""SIGINT and SIGTERM: the step ends, all is saved, the way on is said; a second one leaves at once."""

import os
import signal
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from tests.faults.runs import PLAIN, children, finish, same, stop_after, train

from striate.base.errors import Stopped
from striate.experiment import loop
from striate.experiment.events import EpochEnded, Finished, Started, Stepped
from striate.experiment.train import go_on, start
from striate.training import checkpoint as saving
from striate.training.checkpoint import newest

FORKSERVER = get_context("forkserver")
FORKSERVER.set_forkserver_preload(["striate.experiment.train", "striate.cli.main"])


def ask(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


@pytest.fixture(scope="module")
def unbroken(recipe, tmp_path_factory):
    run = tmp_path_factory.mktemp("unbroken") / "run"
    finish(start(recipe, run=run))
    return run


def in_the_first_batch(events):
    for event in events:
        if isinstance(event, Started):
            ask()


def at_the_end_of_an_epoch(events):
    for event in events:
        if isinstance(event, EpochEnded):
            ask()


MOMENTS = {
    "first batch": (in_the_first_batch, 1),
    "middle of an epoch": (lambda events: stop_after(events, 1), 2),
    "last step of an epoch": (lambda events: stop_after(events, 2), 3),
    "end of an epoch": (at_the_end_of_an_epoch, 4),
    "last step of all": (lambda events: stop_after(events, 5), 6),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_stopped_at_any_moment_it_goes_on_to_the_same_bits(recipe, unbroken, tmp_path, moment):
    stopping, step = MOMENTS[moment]
    run, begun = tmp_path / "run", time.monotonic()
    with pytest.raises(Stopped) as told:
        stopping(start(recipe, run=run))
    assert time.monotonic() - begun < 60
    assert told.value.exit_code == 143
    epoch = (step - 1) // 3 + 1
    where = f"stopped by SIGTERM at epoch {epoch} of 2, step {step}; continue with: striate resume {run}"
    assert str(told.value) == where
    assert newest(run / "checkpoints")[0].step == step
    made = [event for event in train(go_on(run)) if isinstance(event, Stepped)]
    assert len(made) == 6 - step  # none repeated, none lost
    assert same(run, unbroken)


def test_a_signal_while_the_test_split_is_judged_ends_the_run_which_is_then_judged_again(recipe, unbroken, tmp_path):
    run = tmp_path / "run"

    def at_the_end_of_all(events):
        for event in events:
            if isinstance(event, EpochEnded) and event.row.epoch == event.epochs:
                ask(signal.SIGINT)

    with pytest.raises(Stopped, match="stopped by SIGINT at epoch 2 of 2, step 6; continue with") as told:
        at_the_end_of_all(start(recipe, run=run))
    assert told.value.exit_code == 130
    assert not (run / "result.json").exists()
    events = list(go_on(run))
    assert not [event for event in events if isinstance(event, Stepped | EpochEnded)]
    assert isinstance(events[-1], Finished)
    assert same(run, unbroken)


def test_before_the_first_step_there_is_a_checkpoint_to_go_on_from(recipe, unbroken, tmp_path):
    run = tmp_path / "run"
    events = start(recipe, run=run)
    next(events)
    events.close()  # as a kill would
    assert newest(run / "checkpoints")[0].step == 0
    train(go_on(run))
    assert same(run, unbroken)


def test_a_finished_run_says_so_changes_nothing_and_tells_what_longer_training_is(unbroken):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in unbroken.rglob("*.*") if path.is_file()}
    started, finished = go_on(unbroken)
    assert "already finished (2 of 2 epochs); nothing changed" in started.headline
    assert "--epochs N" in " ".join(started.notes)
    assert finished.outcome.epochs == 2
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before if path.name != ".lock"}
    assert after == {path: told for path, told in before.items() if path.name != ".lock"}


def test_a_signal_during_a_save_lets_the_save_end(recipe, unbroken, tmp_path, monkeypatch):
    run, real = tmp_path / "run", saving.write

    def interrupted(path, content):
        if path.name.startswith("step-00000003"):
            ask()
        return real(path, content)

    monkeypatch.setattr(saving, "write", interrupted)
    with pytest.raises(Stopped):
        finish(start(recipe, run=run))
    monkeypatch.undo()
    found, faults = newest(run / "checkpoints")
    assert (found.step >= 3, faults) == (True, [])
    train(go_on(run))
    assert same(run, unbroken)


def test_stopped_in_validation_it_begins_with_the_validation(recipe, unbroken, tmp_path, monkeypatch):
    run, real = tmp_path / "run", loop.outputs_of

    def signalled(*arguments):
        ask()
        return real(*arguments)

    monkeypatch.setattr(loop, "outputs_of", signalled)
    with pytest.raises(Stopped, match="at epoch 1 of 2, step 3"):
        finish(start(recipe, run=run))
    monkeypatch.undo()
    events = go_on(run)
    assert [type(next(events)) for _ in range(2)] == [Started, EpochEnded]
    train(events)
    assert same(run, unbroken)


def _endless(recipe, run):
    """As the command runs it, with two loader workers."""
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os._exit(128 + number))  # before and after the training
    try:
        for event in start(recipe, run=run):
            if isinstance(event, Stepped):
                (run / "stepping").touch()
    except Stopped as stopped:
        os._exit(stopped.exit_code)


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        ("INT INT", 130),
        pytest.param("TERM", 143, marks=pytest.mark.slow),
        pytest.param("INT TERM", 143, marks=pytest.mark.slow),
    ],
)
def test_with_workers_it_ends_within_ten_seconds_and_leaves_no_process(recipe, photos, tmp_path, signals, code):
    streaming = {**PLAIN, "cache": "stream", "workers": 2, "checkpoint_seconds": 0.05}
    execution = recipe.execution.model_copy(update=streaming)
    run = tmp_path / "run"
    endless = recipe.model_copy(update={"data": str(photos), "epochs": 5000, "execution": execution})
    process = FORKSERVER.Process(target=_endless, args=(endless, run))
    process.start()
    wait_for((run / "stepping").exists)
    workers = children(process.pid)
    assert len(workers) == 2
    sent = time.monotonic()
    for name in signals.split():
        os.kill(process.pid, getattr(signal, f"SIG{name}"))
        time.sleep(0.002)
    process.join(20)
    assert process.exitcode == code
    assert time.monotonic() - sent < 10
    wait_for(lambda: not [pid for pid in workers if Path(f"/proc/{pid}").exists()], 10)
    _, faults = newest(run / "checkpoints")
    assert not faults
