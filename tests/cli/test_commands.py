"""The commands as people type them, in order of a day's work."""

import csv
import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from striate.cli.main import COMMANDS


def digests(root):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*") if path.is_file()}


def test_training_fills_a_run_folder_and_says_what_to_try_next(striate, photos):
    before = digests(photos)
    code, out, err = striate("train", "--data", photos, "--epochs", 2, "batch_size=8")
    assert code == 0
    assert re.search(r"^test accuracy [01]\.\d{4} \(95 % interval .* on 8 samples it never saw$", out, re.M)
    assert re.search(
        r"^epoch 2/2  loss \d\.\d{4}  validation loss .* pictures/s  0:00:00 left  peak \d+\.\d\d GB$", err, re.M
    )
    run = Path("runs/photos-lenet5")
    assert {path.name for path in run.iterdir()} >= {
        "recipe.toml",
        "environment.json",
        "data.json",
        "metrics.csv",
        "checkpoints",
        "model",
        "curves.png",
        "confusion.png",
        "report.html",
    }
    header = (run / "metrics.csv").read_text().splitlines()[0]
    assert header == "epoch,step,seconds,lr,train_loss,validation_loss,validation_accuracy,images_per_second"
    for line in out.split("Next:\n")[1].splitlines():
        command = shlex.split(line)
        if command[1] != "train":
            assert striate(*command[1:])[0] == 0, line
    assert digests(photos) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data", "curve", "task=regress", "--model", "linear 1"],
        ["--data", "vibrations", "--model", "flatten, linear 4"],  # classes, but of no pictures
    ],
)
def test_what_to_try_next_works_for_samples_that_are_no_pictures_too(striate, arguments):
    code, out, _ = striate("train", *arguments, "--epochs", 1)
    assert code == 0
    in_python, *lines = out.split("Next:\n")[1].splitlines()
    assert "striate.load(" in in_python
    commands = [shlex.split(line)[1:] for line in lines]
    assert [name for name, *_ in commands] == ["evaluate", "train"]
    assert striate(*commands[0])[0] == 0


def test_the_next_commands_work_where_the_shell_does_not_know_striate(photos, tmp_path):
    """As after `make train`, with .venv/bin not on the path."""
    program = Path(sys.executable).parent / "striate"
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "check": True}
    command = [os.path.relpath(program, tmp_path), "train", "--data", str(photos), "--epochs", "1"]
    printed = subprocess.run(command, **options).stdout
    predict, evaluate, _ = printed.split("Next:\n")[1].splitlines()
    for line in (predict, evaluate):
        assert subprocess.run(["bash", "-c", line], **options).stdout


def test_json_is_one_object_and_nothing_else_on_stdout(striate, photos):
    code, out, err = striate("train", "--data", photos, "--epochs", 1, "--json")
    assert code == 0
    assert list(json.loads(out)) == [
        "run",
        "epochs",
        "train_seconds",
        "validation_accuracy",
        "test_accuracy",
        "test_interval",
        "parameters",
    ]
    assert out.count("\n") == 1
    assert "epoch 1/1" in err


def test_training_twice_makes_two_runs(striate, photos):
    for name in ("photos-lenet5", "photos-lenet5-002", "photos-lenet5-003"):
        _, out, _ = striate("train", "--data", photos, "--epochs", 1, "--json")
        assert json.loads(out)["run"] == f"runs/{name}"


def test_a_runs_recipe_is_a_recipe(striate, run, tmp_path):
    code, out, _ = striate("train", run / "recipe.toml", "epochs=1", "lr=0.01", "--run", tmp_path / "again", "--json")
    assert (code, json.loads(out)["epochs"]) == (0, 1)
    recipe = tomllib.loads((tmp_path / "again" / "recipe.toml").read_text())
    assert (recipe["epochs"], recipe["lr"], recipe["augment"]["flip"]) == (1, 0.01, True)


def test_evaluate_repeats_the_runs_own_figures(striate, run):
    code, out, _ = striate("evaluate", run, "--json")
    found, kept = json.loads(out), json.loads((run / "result.json").read_text())["test"]
    assert code == 0
    assert {"accuracy", "interval", "loss", "count", "per_class", "confusion"} <= found.keys()
    assert found == kept
    code, out, _ = striate("evaluate", run)
    assert f"accuracy {kept['accuracy']:.4f}" in out
    assert "confusion" in out


def test_evaluate_takes_other_data_by_class_name(striate, run, photos, tmp_path):
    code, out, _ = striate("evaluate", run / "model", "--data", photos, "--json")
    assert (code, json.loads(out)["count"]) == (0, 40)
    assert json.loads(out)["accuracy"] > 0.9
    code, _, err = striate("evaluate", run / "model")
    assert (code, "Fix: add --data" in err) == (2, True)
    swapped = tmp_path / "more"
    for name in ("standing", "upright"):
        (swapped / name).mkdir(parents=True)
        (swapped / name / "a.png").write_bytes((photos / "standing" / "01.png").read_bytes())
    code, _, err = striate("evaluate", run, "--data", swapped)
    assert (code, "got upright" in err) == (3, True)


def test_predict_says_class_and_probability(striate, run, photos):
    code, out, _ = striate("predict", run, photos / "lying" / "03.png", "--json")
    (prediction,) = json.loads(out)["predictions"]
    assert code == 0
    assert prediction["class"] == "lying"
    assert prediction["path"].endswith("03.png")
    assert [entry["class"] for entry in prediction["top"]] == ["lying", "standing"]
    assert sum(entry["probability"] for entry in prediction["top"]) == pytest.approx(1)
    assert prediction["probability"] == prediction["top"][0]["probability"]


def test_predict_takes_folders_and_writes_a_table(striate, run, photos, tmp_path):
    code, out, _ = striate("predict", run / "model", photos, "--top", 1, "--csv", "table.csv")
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert (code, len(rows), out.count("\n")) == (0, 40, 40)
    assert sum(row["class"] == row["path"].split("/")[-2] for row in rows) >= 36


def test_predict_lists_what_it_cannot_read_and_does_the_rest(striate, run, photos, tmp_path):
    (tmp_path / "a.png").write_bytes((photos / "lying" / "01.png").read_bytes())
    (tmp_path / "b.png").write_bytes((photos / "lying" / "01.png").read_bytes()[:200])
    code, out, err = striate("predict", run, tmp_path, "--json")
    found = json.loads(out)
    assert code == 3
    assert [entry["class"] for entry in found["predictions"]] == ["lying"]
    assert [entry["kind"] for entry in found["faults"]] == ["truncated"]
    assert "b.png: truncated" in err
    assert "the others are predicted above" in err
    assert "others" not in striate("predict", run, tmp_path / "b.png")[2]


@pytest.mark.parametrize("command", [function.__name__ for function in COMMANDS])
def test_every_command_has_examples_in_its_help(striate, command):
    code, out, _ = striate(command, "--help")
    assert code == 0
    assert f"striate {command}" in out.split("Examples:")[1]


def process(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "striate", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_help_does_not_load_torch():
    program = """
import sys
from striate.cli.main import main
sys.argv = ["striate", "--help"]
try:
    main()
finally:
    print("torch" in sys.modules, "numpy" in sys.modules)
"""
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.endswith("False False\n")
    light = "import sys, striate; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", light], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_with_its_code_and_the_way_on(photos, tmp_path, number, code):
    run = tmp_path / "run"
    child = process("train", "--data", photos, "--epochs", 500, "--run", run)
    while "epoch   1/500" not in child.stderr.readline():
        pass
    child.send_signal(number)
    sent = time.monotonic()
    _, err = child.communicate(timeout=60)
    assert time.monotonic() - sent < 10
    assert child.returncode == code
    assert f"stopped by {signal.Signals(number).name} at epoch" in err
    assert f"continue with: striate resume {run}" in err
    assert "Traceback" not in err
    assert list((run / "checkpoints").glob("*.safetensors"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_while_nothing_is_trained_ends_with_its_code_too(number, code, tmp_path):
    fifo = tmp_path / "recipe.toml"
    os.mkfifo(fifo)  # the command waits for somebody to write
    child = process("train", fifo, cwd=tmp_path)
    writer = opened_by_a_reader(fifo)
    time.sleep(0.2)
    child.send_signal(number)
    _, err = child.communicate(timeout=60)
    os.close(writer)
    assert (child.returncode, err) == (code, f"stopped by {signal.Signals(number).name}; nothing was lost\n")


def opened_by_a_reader(fifo):
    """The writing end, once somebody reads."""
    for _ in range(600):
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(0.1)
    raise AssertionError


def test_a_full_disk_ends_with_6_and_what_was_saved_stays(photos, tmp_path):
    run = tmp_path / "run"
    limit = "ulimit -f 450 && exec " + " ".join(
        [sys.executable, "-m", "striate", "train", "--data", str(photos), "--epochs", "3", "--run", str(run)]
    )
    child = subprocess.run(["bash", "-c", limit], capture_output=True, text=True, check=False)
    assert child.returncode == 6
    assert "no space left" in child.stderr
    assert "Fix: free some space" in child.stderr
    assert "Traceback" not in child.stderr
    assert not list(run.rglob("*.tmp-*"))
