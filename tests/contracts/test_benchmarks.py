import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.native.library import library

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ROW = re.compile(
    r"^  (?P<name>.+?) +(?P<rate>[\d,]+) pictures/s +\S+ s \(.+?\) +x (?P<ratio>\S+) \(.+\)"
    r" +(?P<share>\S+)% of peak +accuracy [01]\.\d{4}$"
)
STRIATE, EXAMPLE, WITH_WORKERS = "Striate, torch engine", "PyTorch example, 0 workers", "PyTorch example, 2 workers"


def rows(printed: str) -> dict[str, tuple[float, float]]:
    """Contestant -> (pictures/s, ratio)."""
    found = [ROW.match(line) for line in printed.splitlines()]
    return {row["name"]: (float(row["rate"].replace(",", "")), float(row["ratio"])) for row in found if row}


@pytest.mark.slow
def test_the_lenet5_benchmark_prints_how_many_times_the_example_s_speed_each_has(idx_folder):
    script = str(BENCHMARKS / "lenet5_mnist.py")
    options = ["--pictures", "640", "--rounds", "1", "--batch-sizes", "64"]
    done = subprocess.run(
        [sys.executable, script, str(idx_folder), *options],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # two threads wait for each other where other jobs run
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "batch size 64, 640 pictures an epoch" in done.stdout
    measured = rows(done.stdout)
    native = ["Striate, native engine"] if library() else []
    assert list(measured) == [STRIATE, *native, EXAMPLE, WITH_WORKERS]
    base = measured[EXAMPLE][0]
    for rate, ratio in measured.values():
        assert ratio == pytest.approx(rate / base, abs=0.006)  # two decimals are printed


@pytest.mark.slow
@pytest.mark.skipif(library() is None, reason="no native library")
def test_the_native_benchmark_prints_both_engines_and_their_share_of_the_processor(idx_folder):
    script = str(BENCHMARKS / "native.py")
    options = ["--only", "lenet5", "--pictures", "640", "--rounds", "1", "--batch-sizes", "64"]
    done = subprocess.run(
        [sys.executable, script, str(idx_folder), *options],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shares = re.findall(
        r"^  (Striate, \w+ engine) .* +(\S+)% of multiply and add \((\S+)% at best\)", done.stdout, re.M
    )
    assert [name for name, *_ in shares] == [STRIATE, "Striate, native engine"]
    assert all(0 < float(median) <= float(best) < 100 for _, median, best in shares)


@pytest.mark.skipif(library() is None, reason="no native library")
def test_both_engines_make_steps_of_every_network_of_the_native_benchmark(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    native = importlib.import_module("native")
    assert len(set(native.SWEEP)) == 12
    for notation, shape in native.SWEEP:
        subject = native.Subject(notation, shape)
        assert subject.plan() == "native"
        assert subject.batches()[0][0].shape == (native.BATCH, *shape)
    smallest = native.Subject(*native.SWEEP[0])
    for make in (native.native_steps, native.torch_steps):
        assert make(smallest, 5).turn() == 5


def test_a_contestant_that_is_not_installed_is_left_out_and_said(monkeypatch, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    benchmark, peers = importlib.import_module("lenet5_mnist"), importlib.import_module("peers")
    here = peers.Peer("Here", peers.pytorch_example, ("torch",))
    absent = peers.Peer("Absent", peers.pytorch_example, ("torch", "no_such_module"))
    assert benchmark.installed((here, absent)) == [here]
    said = capsys.readouterr().out
    assert said == "Absent: left out, no_such_module not installed: pip install -c constraints.txt -e '.[bench]'\n"


def test_the_augmentation_benchmark_prints_how_many_times_the_dataloader_s_speed_each_has():
    row = re.compile(r"^  (.+?) +([\d,]+) pictures/s +x (\S+) \((\S+) to (\S+)\)$", re.M)
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "augment.py"), "32 px", "--rounds", "1", "--pictures", "16"],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "32 px: padded crop, flip, batches of 128, 256 pictures a pass" in done.stdout
    assert "224 px" not in done.stdout
    found = {name: (float(rate.replace(",", "")), float(ratio)) for name, rate, ratio, *_ in row.findall(done.stdout)}
    workers = "Pillow, DataLoader, 2 workers"
    assert list(found)[:3] == [workers, "Pillow, DataLoader, 0 workers", "Striate"]
    assert ("kornia" in found) != ("kornia: left out, not installed" in done.stdout)
    for rate, ratio in found.values():
        assert ratio == pytest.approx(rate / found[workers][0], rel=0.05, abs=0.02)


def test_the_local_response_norm_benchmark_prints_how_many_times_the_base_s_speed_each_has():
    script = str(BENCHMARKS / "local_response_norm.py")
    options = ["--rounds", "1", "--batch", "1", "--threads", "1", "--malloc", "usual"]
    done = subprocess.run(
        [sys.executable, script, *options],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "STRIATE_NATIVE": "off"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "memory as usual, native library: STRIATE_NATIVE=off; medians of 1 rounds" in done.stdout
    row = re.compile(r"^  (torch|blocks) +([\d.]+) ms   x ([\d.]+) \(\3 to \3\)$", re.M)
    names = [name for name, _, _ in row.findall(done.stdout)]
    assert names == ["torch", "blocks", "torch", "blocks", "blocks", "blocks"] * 2  # torch has no bfloat16


def test_the_contestants_of_the_augmentation_benchmark_make_the_same_kind_of_batch(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    benchmark = importlib.import_module("augment")
    pixels = np.full((3, 256, 256, 3), 77, dtype=np.uint8)
    for task in benchmark.TASKS:
        square = pixels[:, : task.stored, : task.stored]
        makers = [benchmark.striate, lambda t, p: benchmark.pillow(t, p, workers=0)]
        batches = [next(iter(make(task, square)())) for make in makers]
        assert {tuple(batch.shape) for batch in batches} == {(3, 3, task.size, task.size)}
        if "jitter" not in task.name:  # one colour stays one colour
            inside = [batch[:, :, task.size // 2, task.size // 2] for batch in batches]
            np.testing.assert_allclose(*inside, atol=1e-4)


def test_the_photographs_benchmark_prints_how_many_times_the_dataloader_s_speed_striate_has(tmp_path):
    draw = np.random.default_rng(0)
    for number in range(40):
        folder = tmp_path / ("ants", "bees")[number % 2]
        folder.mkdir(exist_ok=True)
        pixels = draw.integers(0, 256, (300, 280, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "photographs.py"), str(tmp_path), "--rounds", "1", "--later", "1"],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "40 photographs, batches of 32, rounds: 1, later epochs: 1" in done.stdout
    row = re.compile(r"^  (.+?) +([\d,]+) photographs/s +\S+ s \(.+?\) +x (\S+) \((\S+) to (\S+)\)$", re.M)
    for epochs in re.split("^(?:first epoch|later epochs)$", done.stdout, flags=re.M)[1:]:
        found = {name: (float(rate.replace(",", "")), float(ratio)) for name, rate, ratio, *_ in row.findall(epochs)}
        assert list(found) == ["Striate", "Pillow, DataLoader, 2 workers"]
        for rate, ratio in found.values():
            assert ratio == pytest.approx(rate / found["Pillow, DataLoader, 2 workers"][0], rel=0.05, abs=0.02)


def test_the_contestants_of_the_photographs_benchmark_make_the_same_kind_of_batch(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    benchmark = importlib.import_module("photographs")
    for name, grey in (("ants", 60), ("bees", 200)):
        (tmp_path / name).mkdir()
        Image.new("RGB", (300, 280), (grey, grey, grey)).save(tmp_path / name / "one.png")
    samples = benchmark.in_one_part(benchmark.open_source(str(tmp_path))).parts["all"]
    for epochs in (benchmark.striate(tmp_path), iter([lambda: benchmark.Photographs(samples)])):
        found = [(x.reshape(-1, 3, 224, 224), np.atleast_1d(y)) for x, y in next(epochs)()]
        inputs, labels = (np.concatenate([pair[i] for pair in found]) for i in range(2))
        for x, label in zip(inputs, labels, strict=True):
            wanted = ((60, 200)[label] / 255 - np.array(benchmark.MEAN)) / np.array(benchmark.STD)
            np.testing.assert_allclose(x, np.broadcast_to(wanted[:, None, None], x.shape), atol=1e-5)
