"""SIGKILL while saving, between any two steps of the rotation, and twenty times in one run."""

import os
import random
import signal
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from tests.faults.runs import PLAIN, finish, same, tensors

from striate.base.files import clean_temporaries
from striate.experiment.recipe import parse_recipe
from striate.experiment.train import go_on, start
from striate.training.checkpoint import Checkpoint, best, newest, read_checkpoint, save_checkpoint

FORK = get_context("fork")
SIZE = 20_000  # numbers


def make(step, note="as it is"):
    return Checkpoint(step=step, tensors={"w": torch.full((SIZE,), float(step))}, record={"note": note})


def best_of(step):
    return step - step % 3 or None


def killed(process):
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL


def slowed(monkeypatch):
    """Files that take a millisecond for every 8 kB, and a disk that takes two to confirm."""
    real_open, real_sync = Path.open, os.fsync

    def slow_open(path, mode="r", *arguments, **options):
        file = real_open(path, mode, *arguments, **options)
        if mode != "wb":
            return file
        real_write = file.write

        class Slow:
            flush, fileno = file.flush, file.fileno

            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

            def write(self, content):
                for at in range(0, len(content), 8192):
                    real_write(content[at : at + 8192])
                    file.flush()
                    time.sleep(0.001)

        return Slow()

    monkeypatch.setattr(Path, "open", slow_open)
    monkeypatch.setattr(os, "fsync", lambda number: (time.sleep(0.002), real_sync(number)))


def _save_on_and_on(folder, first, begun):
    for step in range(first, 10**6):
        begun.value = step
        save_checkpoint(folder, make(step), best_step=best_of(step))


@pytest.mark.parametrize("disk", ["fast", pytest.param("slow", marks=pytest.mark.slow)])
def test_killed_at_fifty_random_moments_while_saving_it_keeps_the_newest_and_the_best(tmp_path, disk, monkeypatch):
    moments, begun, step = random.Random(0), FORK.RawValue("l", 0), 1
    save_checkpoint(tmp_path, make(1), best_step=None)
    for _ in range(50):
        with monkeypatch.context() as patch:
            if disk == "slow":
                slowed(patch)
            begun.value = step
            process = FORK.Process(target=_save_on_and_on, args=(tmp_path, step + 1, begun))
            process.start()
        process.join(moments.uniform(0.01, 0.08))
        killed(process)
        clean_temporaries(tmp_path)  # as the next start does
        assert not list(tmp_path.glob(".*"))
        for path in tmp_path.glob("step-*.safetensors"):  # what has no mark yet is whole as well
            if path.with_suffix(".json").exists():
                read_checkpoint(path)
        found, faults = newest(tmp_path)
        assert not faults
        assert found.step in (begun.value, begun.value - 1)
        assert torch.equal(found.tensors["w"], torch.full((SIZE,), float(found.step)))
        if best_of(found.step):
            assert best(tmp_path, best_of(found.step)).step == best_of(found.step)
        step = found.step


def _die_at(cut, save):
    """SIGKILL instead of the call number `cut` that changes the disk."""
    calls = 0

    def dying(real):
        def call(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls == cut:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return call

    for name in ("fsync", "replace", "unlink"):
        setattr(os, name, dying(getattr(os, name)))
    save()


@pytest.mark.parametrize(
    ("before", "saved"),
    [
        ([(1, 1), (2, 1)], (3, 3)),  # a better one comes, the former best goes
        ([(1, 1), (2, 1), (3, 1)], (4, 1)),  # the best stays, one goes
        ([(1, 1), (2, 1)], (2, 2)),  # at the same step: stopped at the end of an epoch, then validated
        ([], (1, None)),
    ],
)
def test_killed_before_any_step_of_the_rotation_it_keeps_a_whole_one_and_the_best(tmp_path, before, saved):
    for cut in range(1, 100):
        folder = tmp_path / str(cut)
        folder.mkdir()
        for step, best_step in before:
            save_checkpoint(folder, make(step), best_step=best_step)
        step, best_step = saved
        save = partial(save_checkpoint, folder, make(step, "new"), best_step=best_step)
        process = FORK.Process(target=_die_at, args=(cut, save))
        process.start()
        process.join()
        clean_temporaries(folder)
        if before:
            found, faults = newest(folder)
            assert not faults
            is_new = found.record["note"] == "new"
            assert found.step == (step if is_new else before[-1][0])
            best_then = best_step if is_new else before[-1][1]
            assert best(folder, best_then).step == best_then
        save_checkpoint(folder, make(step + 1), best_step=best_step)
        assert newest(folder)[0].step == step + 1
        assert len(list(folder.glob("*.safetensors"))) == len(list(folder.glob("step-*.json"))) <= 3
        if process.exitcode == 0:
            assert cut > 6
            return
        assert process.exitcode == -signal.SIGKILL
    raise AssertionError


def hard(photos):
    """Everything that a run remembers or draws, fed by two processes, saved at every step."""
    return parse_recipe(
        {
            "data": str(photos),
            "epochs": 20,
            "batch_size": 8,
            "lr": 0.01,
            "augment": {"shift": 2, "flip": True, "rotate": 10.0, "erase": 0.3},
            "regularise": {"dropout": 0.2},
            "update": {"ema_decay": 0.9},
            "execution": {**PLAIN, "cache": "stream", "workers": 2, "checkpoint_seconds": 0.001},
        }
    )


def marks(run):
    return {path.name for path in (run / "checkpoints").glob("step-*.json")}


def _go_on_or_start(recipe, run):
    torch.set_num_threads(1)
    for _ in go_on(run) if marks(run) else start(recipe, run=run, overwrite=True):
        pass


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_twenty_times_with_two_workers_it_ends_in_the_bits_of_the_unbroken_run(photos, tmp_path):
    recipe, unbroken, run = hard(photos), tmp_path / "unbroken", tmp_path / "killed"
    finish(start(recipe, run=unbroken))
    context = get_context("forkserver")
    context.set_forkserver_preload(["striate.experiment.train"])
    moments, steps = random.Random(1), []
    for life in range(20):
        before = marks(run)
        process = context.Process(target=_go_on_or_start, args=(recipe, run))
        process.start()
        while life % 4 and marks(run) == before and process.is_alive():
            time.sleep(0.01)  # three lives of four get as far as training
        process.join(moments.uniform(0.0, 0.15))
        killed(process)
        if marks(run):
            steps.append(newest(run / "checkpoints")[0].step)
    process = context.Process(target=_go_on_or_start, args=(recipe, run))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert len(set(steps)) > 10  # it was stopped at many places
    assert steps[-1] < newest(run / "checkpoints")[0].step  # and never at its end
    assert any(name.startswith("average.") for name in tensors(run))
    assert same(run, unbroken)
