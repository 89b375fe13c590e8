"""Data that are kept nowhere train, resume and are judged as data that are."""

import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate.base.errors import DataError, ResourceError
from striate.data.dataset import Wanted, prepare
from striate.data.from_python import source_of
from striate.data.picture import Picture
from striate.data.pictures import Held
from striate.data.remembered import key_of, remembered
from striate.data.source import open_source
from striate.data.splits import Shares
from striate.data.storage import Storage
from striate.experiment.recipe import parse_recipe
from striate.experiment.train import start
from striate.training.checkpoint import newest


def png(seed: int, kind: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 90, (30, 30, 3), dtype=np.uint8)
    pixels[5 + 12 * kind : 12 + 12 * kind] += 120
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def shards(tmp_path_factory, pack) -> Path:
    """Six tar shards of ten pictures each, of two classes."""
    root = tmp_path_factory.mktemp("sets") / "bars"
    for shard in range(6):
        members = []
        for number in range(10 * shard, 10 * shard + 10):
            members.append((f"{number:04}.png", png(number, number % 2)))
            members.append((f"{number:04}.cls", b"low" if number % 2 else b"high"))
        pack(root / f"{shard:03}.tar", *members)
    return root


def prepared(root, cache, mode, ticks=None):
    picture, storage = Picture(3, 16, 16), Storage(mode, cache, 1 << 30, workers=1)
    wanted = Wanted(picture, Picture(3, 19, 19), Shares(0.2, 0.2), 0, False, storage)
    return prepare(open_source(str(root)), wanted, None if ticks is None else lambda done, _: ticks.append(done))


def test_streamed_pictures_are_those_of_memory_and_of_the_disk(shards, tmp_path):
    rows = np.array([3, 0, 2])
    found = []
    for mode in ("stream", "memory", "disk"):
        with closing(prepared(shards, tmp_path, mode)) as data:
            found.append((data.fingerprint, data.train.pictures.gather(rows), data.test.images))
    for other in found[1:]:
        assert other[0] == found[0][0]
        assert torch.equal(other[1], found[0][1])
        assert torch.equal(other[2], found[0][2])


def test_the_first_pass_is_made_once_and_again_when_a_shard_changes(shards, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in shards.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    passes = []
    for change in (False, False, True):
        if change:
            os.utime(copy / "003.tar", (1, 1))
        ticks = []
        with closing(prepared(copy, tmp_path / "cache", "stream", ticks)):
            passes.append(len(ticks))
    assert passes[:2] == [60, 0]
    assert passes[2] > 0


def test_a_fault_is_not_remembered_for_it_may_be_mended_without_a_trace(class_folders, tmp_path):
    path = class_folders / "ants" / "00.png"
    before = path.stat()
    content = path.read_bytes()
    path.write_bytes(content[:-20] + bytes(20))  # as a disk that fails would give it
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DataError, match=r"ants/00\.png"):
        prepared(class_folders, tmp_path / "cache", "stream", [])
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with closing(prepared(class_folders, tmp_path / "cache", "stream", [])) as dataset:
        assert not dataset.left_out


def test_what_is_remembered_is_found_out_again_when_its_file_is_damaged(tmp_path):
    found = []

    def find():
        found.append(1)
        return b"result"

    key = key_of(["x"])
    for _ in range(2):
        assert remembered(tmp_path, key, find) == b"result"
    assert len(found) == 1
    (path,) = tmp_path.iterdir()
    for damage in (b"", path.read_bytes()[:-3], bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]):
        path.write_bytes(damage)
        assert remembered(tmp_path, key, find) == b"result"
    assert len(found) == 4
    (tmp_path / "file").write_text("in the way")
    assert remembered(tmp_path / "file" / "x", key, find) == b"result"


def recipe_of(shards, **execution):
    table = {"data": str(shards), "epochs": 2, "batch_size": 8, "execution": {"workers": 1, **execution}}
    return parse_recipe({**table, "preprocess": {"image_size": 32}, "augment": {"crop_scale": 0.5, "flip": True}})


def weights(recipe, run):
    for _ in start(recipe, run=run):
        pass
    return newest(run / "checkpoints")[0].tensors


def test_a_run_that_streams_ends_in_the_weights_of_one_that_does_not(shards, tmp_path):
    found = [weights(recipe_of(shards, cache=mode), tmp_path / mode) for mode in ("stream", "memory", "disk")]
    for other in found[1:]:
        assert all(torch.equal(other[name], tensor) for name, tensor in found[0].items())


RUN = """
    import sys
    from striate.cli.main import main
    sys.argv = ["striate", *sys.argv[1:]]
    main()
"""


def striate(*arguments, **options):
    command = [sys.executable, "-c", textwrap.dedent(RUN), *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)


def children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
        except (OSError, ValueError):
            continue
    return found


@pytest.mark.timeout(120)
def test_a_worker_that_is_killed_ends_the_run_which_can_be_resumed(shards, tmp_path):
    run = tmp_path / "run"
    options = ["execution.cache=stream", "execution.workers=1", "execution.checkpoint_seconds=0.01"]
    process = striate("train", "--data", shards, "--epochs", 400, "--run", run, "batch_size=4", *options)
    deadline = time.monotonic() + 90
    while not list(run.glob("checkpoints/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = children(process.pid)
    assert workers
    os.kill(workers[0], signal.SIGKILL)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 6, told
    assert f"process {workers[0]}" in told
    assert "Traceback" not in told
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists() and pid != workers[0]]
    checkpoint = newest(run / "checkpoints")[0]
    assert checkpoint.step >= 0


def test_a_shard_that_goes_while_a_run_reads_it_is_named(shards, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in shards.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    with closing(prepared(copy, tmp_path / "cache", "stream")) as data:
        for path in copy.iterdir():
            path.unlink()
        with pytest.raises((DataError, ResourceError), match=r"00\d\.tar"):
            data.train.pictures.gather(np.arange(5))


def test_data_json_and_manifest_know_the_samples_of_shards(shards, tmp_path):
    weights(recipe_of(shards, cache="stream"), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "data.json").read_text())["classes"] == ["high", "low"]
    assert (tmp_path / "run" / "manifest.csv").read_text().count(".tar/") == 60


def test_a_picture_overwritten_while_a_run_reads_it_is_a_fault_of_its_file(tmp_path):
    paths = [tmp_path / "set" / "ab"[i % 2] / f"{i}.png" for i in range(20)]
    for i, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(i, i % 2))
    with closing(prepared(tmp_path / "set", tmp_path / "cache", "stream")) as data:
        rows = np.arange(len(data.train))
        data.train.pictures.gather(rows)
        name = data.train.names[4]
        (tmp_path / "set" / name).write_bytes(png(99, 0))  # a whole picture, but another
        with pytest.raises(DataError, match=rf"{name}: changed since the run first read it"):
            data.train.pictures.gather(rows)


def test_what_only_this_process_can_read_is_held_in_memory(tmp_path):
    held = [(Image.fromarray(np.full((20, 20, 3), 10 * i, np.uint8)), i % 2) for i in range(20)]
    wanted = Wanted(*[Picture(3, 16, 16)] * 2, Shares(0.2, 0.2), 0, False, Storage("stream", tmp_path, 1 << 30, 1))
    assert isinstance(prepare(source_of(held), wanted).train.pictures, Held)
