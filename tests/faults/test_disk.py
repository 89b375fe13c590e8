"""Disks that are full, folders that cannot be written or vanish, two runs at once."""

import os
import resource
import shutil
import subprocess
from multiprocessing import get_context
from pathlib import Path

import pytest
from tests.faults.runs import finish, same, train

from striate.base import files
from striate.base.errors import ConfigError, ResourceError
from striate.base.files import write
from striate.experiment.events import EpochEnded, Stepped
from striate.experiment.run_folder import check_writable
from striate.experiment.train import go_on, start
from striate.training.checkpoint import newest

FORK = get_context("fork")


@pytest.fixture(scope="module")
def unbroken(recipe, tmp_path_factory):
    run = tmp_path_factory.mktemp("unbroken") / "run"
    train(start(recipe, run=run))
    return run


def no_leftovers(folder):
    return not [path for path in folder.rglob("*") if ".tmp-" in path.name]


def _limited(queue, bytes_a_file, work):
    """Files of more than so many bytes do not fit: as a full disk, without filling one."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_a_file, bytes_a_file))
    try:
        work()
    except Exception as error:
        queue.put(f"{type(error).__name__}: {error}")
    else:
        queue.put("")


def limited(bytes_a_file, work):
    queue = FORK.SimpleQueue()
    process = FORK.Process(target=_limited, args=(queue, bytes_a_file, work))
    process.start()
    process.join()
    return queue.get()


def test_a_disk_that_is_full_at_a_checkpoint_leaves_the_former_ones_and_the_run_goes_on_later(
    recipe, unbroken, tmp_path
):
    run = tmp_path / "run"
    events = start(recipe, run=run)
    while not isinstance(next(events), EpochEnded):
        pass
    events.close()
    before = {path: path.read_bytes() for path in (run / "checkpoints").iterdir()}
    message = limited(100_000, lambda: train(go_on(run)))
    assert f"no space left while writing {run / 'checkpoints' / 'step-00000006.safetensors'} (needs 0." in message
    assert "MB free)" in message
    assert before == {path: path.read_bytes() for path in (run / "checkpoints").iterdir()}
    assert no_leftovers(run)
    train(go_on(run))
    assert same(run, unbroken)


def test_a_disk_that_is_full_at_the_report_leaves_the_training(recipe, unbroken, tmp_path):
    run = shutil.copytree(unbroken, tmp_path / "run")
    message = limited(10_000, lambda: finish(go_on(run)))
    assert "no space left while writing" in message
    assert not (run / "result.json").exists()
    assert no_leftovers(run)
    assert same(run, unbroken)


def test_room_is_looked_at_before_the_first_byte_is_written(tmp_path, monkeypatch):
    write(tmp_path / "a", b"old")
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: real._replace(free=999_999))
    monkeypatch.setattr(files.os, "fsync", lambda _: pytest.fail("something was written"))
    with pytest.raises(ResourceError, match=r"no space left while writing .*a \(needs 1\.0 MB, 1\.0 MB free\)"):
        write(tmp_path / "a", bytes(1_000_000))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=False).returncode
    ):
        pytest.skip("no small disk can be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_run_on_a_small_disk_ends_with_6_and_what_was_saved_is_whole(recipe, small_disk):
    run = small_disk / "run"
    with pytest.raises(
        ResourceError, match=r"no space left while writing .* \(needs 0\.\d MB, 0\.\d MB free\)"
    ) as told:
        train(start(recipe, run=run))
    assert told.value.exit_code == 6
    found, faults = newest(run / "checkpoints")
    assert faults == []
    assert found.step in (0, 3)
    assert no_leftovers(run)


def test_a_full_or_missing_temporary_folder_has_no_effect(recipe, unbroken, small_disk, tmp_path, monkeypatch):
    with (small_disk / "filling").open("wb") as file:
        file.write(bytes(1 << 20))
    import tempfile

    for number, place in enumerate((small_disk, Path("/nonexistent"))):
        monkeypatch.setenv("TMPDIR", str(place))
        monkeypatch.setattr(tempfile, "tempdir", str(place))
        finish(start(recipe, run=tmp_path / str(number)))
        assert same(tmp_path / str(number), unbroken)


def _as_nobody(queue, recipe, run):
    os.setuid(65534)
    try:
        queue.put([type(event).__name__ for event in start(recipe, run=run)])
    except Exception as error:
        queue.put(f"{type(error).__name__}: {error}")


def test_a_folder_that_cannot_be_written_is_said_before_data_are_read(recipe, tmp_path):
    if os.geteuid():
        place = tmp_path / "closed"
        place.mkdir(mode=0o500)
        with pytest.raises(ResourceError, match=f"{place / 'run'}: cannot write to it"):
            check_writable(place / "run")
        return
    queue = FORK.SimpleQueue()
    run = Path("/root/run" if Path("/root").is_dir() else "/run-of-nobody")
    process = FORK.Process(target=_as_nobody, args=(queue, recipe.model_copy(update={"data": "nowhere"}), run))
    process.start()
    process.join()
    message = queue.get()
    assert message.startswith("ResourceError: ")
    assert f"{run}: cannot write to it (Permission denied)" in message


def test_a_file_in_the_way_is_said_before_data_are_read(recipe, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot write to it"):
        next(start(recipe.model_copy(update={"data": "nowhere"}), run=tmp_path / "file" / "run"))
    assert (tmp_path / "file").read_text() == ""


def test_a_folder_that_vanishes_in_training_leaves_a_run_elsewhere_that_can_be_gone_on_with(
    recipe, unbroken, tmp_path, monkeypatch
):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    run = tmp_path / "run"
    events = start(recipe, run=run)
    while not isinstance(next(events), Stepped):
        pass
    shutil.rmtree(run)
    with pytest.raises(ResourceError) as told:
        train(events)
    assert told.value.exit_code == 6
    saved = tmp_path / "cache" / "rescued" / "run"
    assert f"the run folder {run} must be there until the run ends, got gone; step 3 was saved to {saved}" in str(
        told.value
    )
    assert f"striate resume {saved}" in str(told.value)
    train(go_on(shutil.move(saved, tmp_path / "elsewhere")))
    assert same(tmp_path / "elsewhere", unbroken)


def test_a_folder_that_vanishes_with_nowhere_else_to_go_is_called_lost(recipe, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    events = start(recipe, run=tmp_path / "run")
    next(events)
    shutil.rmtree(tmp_path / "run")
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "file"))
    with pytest.raises(ResourceError, match=r"could not be saved elsewhere .*the run is lost"):
        train(events)


def test_two_runs_in_one_folder_and_a_run_into_a_folder_with_results(recipe, unbroken, tmp_path):
    run = tmp_path / "run"
    events = start(recipe, run=run)
    next(events)
    for second in (lambda: start(recipe, run=run, overwrite=True), lambda: go_on(run)):
        with pytest.raises(ConfigError, match=f"in use by process {os.getpid()}") as told:
            next(second())
        assert told.value.exit_code == 2
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="--overwrite"):
        next(start(recipe, run=run))
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    train(events)
    assert same(run, unbroken)


def test_the_hold_of_a_crashed_owner_is_taken_over(recipe, unbroken, tmp_path):
    run = tmp_path / "run"
    events = start(recipe, run=run)
    next(events)
    events.close()
    (run / ".lock").write_text("1")  # a process that lives, and does not hold it
    train(go_on(run))
    assert same(run, unbroken)
