import json
import os
import resource
import signal
import subprocess
import sys
from multiprocessing import get_context

import pytest

from striate.base.errors import ConfigError, ResourceError
from striate.base.files import clean_temporaries, digest, locked, make_folder, replace_folder, write


def test_a_write_replaces_the_whole_file_and_returns_its_sha256(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a longer text than the new one")
    assert write(path, "new") == digest(path)
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def _write_until_killed(path, size):
    for number in range(10**9):
        write(path, bytes([number % 256]) * size)


@pytest.mark.parametrize("delay", [0.005, 0.011, 0.023, 0.038, 0.051])
def test_a_killed_write_leaves_the_old_file_or_the_new_one(tmp_path, delay):
    path = tmp_path / "a.bin"
    write(path, b"\0" * 300_000)
    process = get_context("fork").Process(target=_write_until_killed, args=(path, 300_000))
    process.start()
    process.join(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    content = path.read_bytes()
    assert len(content) == 300_000
    assert len(set(content)) == 1
    clean_temporaries(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_a_living_processes_temporaries_are_left_alone(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (tmp_path / f".a.tmp-{other.pid}").write_text("half")
        clean_temporaries(tmp_path)
        assert len(list(tmp_path.iterdir())) == 1
        other.communicate(b"\n")
    clean_temporaries(tmp_path)
    assert not list(tmp_path.iterdir())


def _fill_the_disk(path, queue):
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        write(path, b"1" * 200_000)
    except ResourceError as error:
        queue.put(str(error))


def test_a_full_disk_is_said_and_the_old_file_stays(tmp_path):
    path = tmp_path / "a.bin"
    write(path, b"old")
    context = get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=_fill_the_disk, args=(path, queue))
    process.start()
    process.join()
    message = queue.get()
    assert "no space left" in message
    assert "a.bin (needs 0.2 MB, " in message
    assert "\n  Fix: free some space" in message
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"file.*cannot write to it"):
        make_folder(tmp_path / "file" / "below")


def test_a_folder_is_replaced_whole(tmp_path):
    old, new = tmp_path / "model", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    (old / "a").write_text("old")
    (new / "b").write_text("new")
    replace_folder(new, old)
    assert {path.name for path in tmp_path.rglob("*")} == {"model", "b"}


def test_a_folder_is_held_by_one_process(tmp_path):
    program = f"""
from pathlib import Path
from striate.base.files import locked
with locked(Path({json.dumps(str(tmp_path))})):
    print("held", flush=True)
    input()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError, match=f"in use by process {other.pid}"), locked(tmp_path):
            pass
        other.kill()
    with locked(tmp_path):  # a crashed owner's hold is gone with it
        pass


def test_a_link_is_replaced_and_what_it_leads_to_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    (tmp_path / "link").symlink_to("mine.txt")
    write(tmp_path / "link", "new")
    assert (tmp_path / "mine.txt").read_text() == "precious"
    assert (tmp_path / "link").read_text() == "new"
