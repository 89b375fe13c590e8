"""The same settings give the same bits: seed, processes, hashing, listing order, clocks."""

import os
import subprocess
import sys
import time

import pytest
import torch
from tests.faults.runs import PLAIN, rows, same, train

from striate.experiment import run_folder
from striate.experiment.train import go_on, start
from striate.training.checkpoint import newest


@pytest.fixture(scope="module")
def once(recipe, photos, tmp_path_factory):
    run = tmp_path_factory.mktemp("once") / "run"
    train(start(recipe.model_copy(update={"data": str(photos)}), run=run))
    return run


def run_with(recipe, photos, run, **execution):
    asked = recipe.execution.model_copy(update=execution)
    train(start(recipe.model_copy(update={"data": str(photos), "execution": asked}), run=run))
    return run


def test_the_same_seed_gives_the_same_bits_and_another_does_not(recipe, photos, once, tmp_path):
    assert same(once, run_with(recipe, photos, tmp_path / "again"))
    other = recipe.model_copy(update={"seed": 1})
    assert not same(once, run_with(other, photos, tmp_path / "other"))


@pytest.mark.parametrize(
    "workers", [1, pytest.param(0, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)]
)
def test_the_number_of_loader_processes_changes_nothing(recipe, photos, once, tmp_path, workers):
    assert same(once, run_with(recipe, photos, tmp_path / "run", cache="stream", workers=workers))


def test_the_order_in_which_a_disk_lists_its_files_changes_nothing(recipe, photos, once, tmp_path, monkeypatch):
    real_list, real_scan = os.listdir, os.scandir

    class Backwards(list):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "listdir", lambda *place: sorted(real_list(*place), reverse=True))

    def scan(*place):
        with real_scan(*place) as entries:
            return Backwards(sorted(entries, key=lambda entry: os.fspath(entry.name), reverse=True))

    monkeypatch.setattr(os, "scandir", scan)
    run = run_with(recipe, photos, tmp_path / "run")
    monkeypatch.undo()
    assert same(once, run)


@pytest.mark.slow
def test_the_seed_of_pythons_hashes_changes_nothing(recipe, photos, once, tmp_path):
    (tmp_path / "r.toml").write_text(recipe.model_copy(update={"data": str(photos)}).as_toml())
    for seed in ("0", "12345"):
        command = [sys.executable, "-m", "striate", "train", "r.toml", "--run", seed]
        subprocess.run(
            command, cwd=tmp_path, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        )
        assert same(once, tmp_path / seed)


def test_a_clock_that_is_set_back_makes_no_duration_negative(recipe, photos, once, tmp_path, monkeypatch):
    real, began = time.time, time.time()
    monkeypatch.setattr(time, "time", lambda: began - 3600 * (real() - began))  # an hour back every second
    run = run_with(recipe, photos, tmp_path / "run")
    assert same(once, run)
    lines = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    seconds = [float(line[lines[0].index("seconds")]) for line in lines[1:]]
    assert 0 < seconds[0] < seconds[1] < 600
    assert len(rows(run)) == 3


def test_two_runs_in_one_second_have_two_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {run_folder.create(None, "digits-lenet5", overwrite=False).path.name for _ in range(3)}
    assert names == {"digits-lenet5", "digits-lenet5-002", "digits-lenet5-003"}


def test_a_resumed_run_keeps_its_threads_and_says_another_torch(recipe, photos, once, tmp_path, monkeypatch):
    run = tmp_path / "run"
    events = start(recipe.model_copy(update={"data": str(photos)}), run=run)
    next(events)
    events.close()
    assert newest(run / "checkpoints")[0].record["plan"]["threads"] == 1
    torch.set_num_threads(2)
    try:
        events = go_on(run)
        assert "not bit for bit" not in " ".join(next(events).notes)
        assert torch.get_num_threads() == 1
        train(events)
    finally:
        torch.set_num_threads(PLAIN["threads"])
    assert same(once, run)
    (run / "result.json").unlink(missing_ok=True)
    monkeypatch.setattr(torch, "__version__", "1.0")
    events = go_on(run)
    assert "-> 1.0): equal up to rounding, not bit for bit" in " ".join(next(events).notes)
    events.close()
