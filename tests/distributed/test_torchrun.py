"""`torchrun ... -m striate train` on this machine: as one process, whatever happens to one of several."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

KEPT = "model/model.safetensors"


def weights(run):
    return load_file(run / KEPT)


def losses(run):
    with (run / "metrics.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) for name in ("train_loss", "validation_loss")]


def assert_like(run, other):
    """Equal up to the rounding of other orders of summation."""
    assert losses(run) == pytest.approx(losses(other), rel=1e-3)
    found, expected = weights(run), weights(other)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_two_processes_train_as_one_does_and_one_of_them_tells(trained, tmp_path):
    alone, together = (trained(count, tmp_path / str(count), "--json") for count in (1, 2))
    (code, out, _), (other_code, other_out, err) = alone.end(), together.end()
    assert (code, other_code) == (0, 0)
    told, other = json.loads(out), json.loads(other_out)  # one object each
    assert told["test_accuracy"] == other["test_accuracy"]
    assert_like(tmp_path / "2", tmp_path / "1")
    assert err.count("epoch 1/3") == 1
    assert "2 processes; run folder" in err
    counted = json.loads((tmp_path / "2" / "result.json").read_text())["test"]["count"]
    assert counted == json.loads((tmp_path / "1" / "result.json").read_text())["test"]["count"]


@pytest.mark.slow
def test_a_killed_process_ends_all_soon_and_another_number_goes_on(trained, launch, tmp_path):
    run, unbroken = tmp_path / "run", tmp_path / "unbroken"
    whole = trained(1, unbroken, epochs=8)
    killed = trained(2, run, epochs=8)
    killed.until_trained(1)
    os.kill(killed.workers()[1], signal.SIGKILL)
    since = time.monotonic()
    code, _, err = killed.end()
    assert code != 0
    assert time.monotonic() - since < 60
    assert err.count("ResourceError: processes: every process must be there, got one that is gone") == 1
    assert "striate resume RUN" in err
    code, _, err = launch(1, "resume", run, run=run).end()
    assert code == 0, err
    assert "processes 2 -> 1" in err
    assert whole.end()[0] == 0
    assert_like(run, unbroken)


@pytest.mark.slow
def test_if_the_first_is_killed_another_tells(trained, tmp_path):
    killed = trained(3, tmp_path / "run", epochs=50)
    killed.until_trained(1)
    os.kill(killed.workers()[0], signal.SIGKILL)
    since = time.monotonic()
    code, _, err = killed.end()
    assert code != 0
    assert time.monotonic() - since < 60
    assert err.count("ResourceError: processes: every process must be there, got one that is gone") == 1


@pytest.mark.slow
@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "SIGINT")])
def test_a_signal_stops_all_at_one_step_and_three_processes_go_on(trained, launch, tmp_path, number, name):
    run, unbroken = tmp_path / "run", tmp_path / "unbroken"
    whole = trained(1, unbroken, epochs=12)
    stopped = trained(2, run, epochs=12)
    stopped.until_trained(1)
    stopped.process.send_signal(number)
    code, _, err = stopped.end()
    assert code != 0
    assert err.count(f"stopped by {name} at epoch") == 1
    code, _, err = launch(3, "resume", run, run=run).end()
    assert code == 0, err
    assert whole.end()[0] == 0
    assert_like(run, unbroken)


@pytest.mark.slow
def test_torchrun_starts_all_anew_and_they_end_in_the_bits_of_the_unbroken_run(trained, tmp_path):
    run, unbroken = tmp_path / "run", tmp_path / "unbroken"
    assert trained(2, unbroken, epochs=8).end()[0] == 0
    killed = trained(2, run, epochs=8, restarts=1)
    killed.until_trained(2)
    os.kill(killed.workers()[0], signal.SIGKILL)
    code, _, err = killed.end()
    assert code == 0, err
    found, expected = weights(run), weights(unbroken)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert losses(run) == losses(unbroken)


@pytest.mark.slow
def test_a_folder_that_exists_is_refused_by_one_voice_also_when_started_anew(trained, tmp_path):
    run = tmp_path / "run"
    assert trained(1, run, epochs=1).end()[0] == 0
    code, _, err = trained(2, run, epochs=1, restarts=1).end()
    assert code != 0
    assert err.count("run folder must be new, or a run with --overwrite") == 2  # once each time
    assert json.loads((run / "result.json").read_text())["epochs"] == 1


@pytest.mark.slow
def test_the_benchmark_of_two_processes_prints_what_each_way_takes():
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "two_processes.py"
    done = subprocess.run(
        [sys.executable, script, "LeNet-5, batch 64", "--rounds", "1"],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^  (.+?) +([\d.]+) ms \(", done.stdout, re.M)
    names = ["two processes, a thread each", "one process, two threads", "one process, one thread", "exchange alone"]
    assert [name for name, _ in rows] == names
    assert all(float(value) > 0 for _, value in rows)
