"""Whoever watches a run from another process sees what its own terminal shows, and how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from striate.base.errors import ModelFileError, NumericError, Stopped
from striate.base.marks import UNKNOWN
from striate.cli.main import app
from striate.experiment import watch
from striate.experiment.events import EpochEnded, Finished, Noted, Started, Stepped
from striate.experiment.history import metrics_of
from striate.experiment.live import this_process
from striate.experiment.recipe import parse_recipe
from striate.experiment.train import go_on, start
from striate.experiment.watch import Ended, follow

KILLED = """
import os, signal, sys
from pathlib import Path
from striate.experiment.events import Stepped
from striate.experiment.recipe_file import read_recipe
from striate.experiment.train import start

for event in start(read_recipe(Path(sys.argv[1]), []), run=Path(sys.argv[2])):
    if isinstance(event, Stepped) and event.step == 8:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def drain(events):
    return next(event.outcome for event in events if isinstance(event, Finished))


def stop_after(events, step):
    for event in events:
        if isinstance(event, Stepped) and event.step == step:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "finished"
    drain(start(recipe, run=run))
    return run


def test_a_finished_run_is_shown_whole_and_left_as_it_is(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    first, *epochs, end = follow(finished)
    assert isinstance(first, Started)
    assert "lenet5" in first.headline
    assert [event.row for event in epochs] == metrics_of(finished).rows
    assert [event.epochs for event in epochs] == [3, 3, 3]
    assert epochs[0].best
    assert (end.state, end.exit_code) == ("finished", 0)
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*")}


def test_a_run_that_is_yet_to_begin_is_waited_for_and_followed_to_its_end(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "EVERY", 0.001)
    monkeypatch.setattr("striate.experiment.live.EVERY", 0.0)
    run, seen = tmp_path / "run", []
    waits = threading.Event()

    def look():
        for event in follow(run):
            seen.append(event)
            waits.set()

    watcher = threading.Thread(target=look)
    watcher.start()
    assert waits.wait(10)
    drain(start(recipe, run=run))
    watcher.join(30)
    assert isinstance(seen[0], Noted)
    assert "has not begun" in seen[0].note
    assert isinstance(seen[1], Started)
    assert [event.row.epoch for event in seen if isinstance(event, EpochEnded)] == [1, 2, 3]
    steps = [event.step for event in seen if isinstance(event, Stepped)]
    assert steps
    assert steps == sorted(steps)
    assert seen[-1].state == "finished"


def test_a_stopped_run_ends_as_it_ended_and_once_resumed_it_is_followed_on(recipe, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(Stopped):
        stop_after(start(recipe, run=run), 8)
    *_, end = follow(run)
    assert (end.state, end.exit_code) == ("stopped", 143)
    assert f"striate resume {run}" in end.message
    drain(go_on(run))
    *events, end = follow(run)
    assert "from step 9" in events[0].headline
    assert end.state == "finished"


def test_a_stopped_run_that_another_process_has_taken_up_is_not_over(recipe, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(Stopped):
        stop_after(start(recipe, run=run), 8)
    (run / ".lock").write_text(str(os.getppid()))  # reads its data and has not told yet
    assert watch._Watch(run).ended() is None


def test_a_failed_run_ends_with_its_error_and_its_code(recipe, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(NumericError):
        drain(start(parse_recipe({**recipe.model_dump(), "lr": 1e9}), run=run))
    *_, end = follow(run)
    assert (end.state, end.exit_code) == ("failed", 5)
    assert "NumericError: " in end.message


@pytest.mark.slow
def test_a_killed_run_is_known_for_one(recipe, tmp_path):
    (tmp_path / "recipe.toml").write_text(recipe.as_toml())
    run = tmp_path / "run"
    command = [sys.executable, "-c", KILLED, str(tmp_path / "recipe.toml"), str(run)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    first, epoch, *_, end = follow(run)
    assert isinstance(first, Started)
    assert epoch.row.epoch == 1
    assert (end.state, end.exit_code) == ("killed", 137)
    assert f"striate resume {run}" in end.message


def test_a_process_is_told_from_a_later_one_with_its_number():
    process = this_process()
    assert not process.gone()
    assert replace(process, started="1").gone()
    assert not replace(process, started="1", host=f"not-{socket.gethostname()}").gone()
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert replace(process, pid=child.pid).gone()


@pytest.mark.parametrize("make", ["write_text", "mkdir"])
def test_what_is_no_run_is_refused(tmp_path, make):
    place = tmp_path / "place"
    if make == "mkdir":
        place.mkdir()
        place = place / "photo.png"
        place.write_text("x")
        place = place.parent
    else:
        place.write_text("x")
    with pytest.raises(ModelFileError, match="watch: run must be the folder of a run"):
        next(follow(place))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": "running"}', '{"process": {"host": "x"}}'])
def test_a_run_that_tells_nothing_is_not_waited_for_without_end(recipe, tmp_path, monkeypatch, content):
    monkeypatch.setattr(watch, "COMING", 0.0)
    (tmp_path / "recipe.toml").write_text(recipe.as_toml())
    (tmp_path / "live.json").write_text(content)
    with pytest.raises(ModelFileError, match="of which no process tells anything"):
        list(follow(tmp_path))


def test_a_hostile_folder_cannot_command_the_terminal(finished, tmp_path):
    told = json.loads((finished / "live.json").read_text())
    told |= {"headline": "\x1b[2J", "notes": ["\x1b]0;x\x07"], "state": "stopped", "message": "\x1b[2J", "exit_code": 1}
    (tmp_path / "recipe.toml").write_text("")
    (tmp_path / "live.json").write_text(json.dumps(told))
    first, end = follow(tmp_path)
    assert first == Started(f"{UNKNOWN}[2J", (f"{UNKNOWN}]0;x{UNKNOWN}",))
    assert end == Ended("stopped", f"stopped: {UNKNOWN}[2J", 1)


def test_the_command_ends_with_the_code_of_the_run(finished):
    result = CliRunner().invoke(app, ["watch", str(finished)])
    assert result.exit_code == 0
    assert "epoch 3/3" in result.stderr
    assert result.stdout == f"finished; its report is {finished / 'report.html'}\n"


def test_leaving_says_that_the_run_goes_on(finished, monkeypatch):
    def interrupted(_folder):
        raise Stopped("stopped by SIGINT", 2)
        yield

    monkeypatch.setattr(watch, "follow", interrupted)
    result = CliRunner().invoke(app, ["watch", str(finished)])
    assert isinstance(result.exception, Stopped)
    assert str(result.exception) == "no longer watching; the run goes on"
    assert result.exception.exit_code == 130
