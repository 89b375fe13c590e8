"""What MLflow is told of a run is what metrics.csv says, once each, also of a resumed one; silence harms nothing."""

import csv
import os
import shutil
import signal
import socket

import pytest
from mlflow import MlflowClient

from striate.base.errors import Stopped
from striate.experiment.events import EpochEnded, Finished, Noted, Stepped
from striate.experiment.recipe import parse_recipe
from striate.experiment.run_folder import RunFolder
from striate.experiment.track_mlflow import SETTINGS
from striate.experiment.train import go_on, start

COLUMNS = ("train_loss", "validation_loss", "validation_accuracy", "lr", "images_per_second")


@pytest.fixture(scope="module")
def recipe(recipe):
    return parse_recipe({**recipe.model_dump(), "track": {"mlflow": True}})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """An empty store, which takes seconds to make: every test begins with a copy of it."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(autouse=True)
def environment(monkeypatch, store, tmp_path):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(store, tmp_path / "mlflow.db")


def told(run):
    known = RunFolder(run).read_json("mlflow.json")
    client = MlflowClient(tracking_uri=known["store"])
    found = client.get_run(known["run_id"])
    histories = {key: client.get_metric_history(known["run_id"], key) for key in found.data.metrics}
    return found, {key: [(metric.step, metric.value) for metric in history] for key, history in histories.items()}


def finish(events):
    return [event for event in events if isinstance(event, Noted | Finished)]


def signalled(events):
    for event in events:
        if isinstance(event, Stepped) and event.step == 8:
            os.kill(os.getpid(), signal.SIGTERM)


def assert_agrees(run, metrics):
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    for column in COLUMNS:
        assert metrics[column] == [(int(row["step"]), float(row[column])) for row in rows]


def test_a_run_is_told_whole_to_the_store_beside_it(recipe, tmp_path):
    run = tmp_path / "run"
    *notes, finished = finish(start(recipe, run=run))
    assert not notes
    found, metrics = told(run)
    assert_agrees(run, metrics)
    assert metrics["test_accuracy"] == [(18, finished.outcome.test.accuracy)]
    assert (found.info.status, found.info.run_name) == ("FINISHED", "run")
    assert found.data.params["augment.shift"] == "2"
    assert found.data.params["model"] == "lenet5"
    assert not SETTINGS.keys() & os.environ.keys()


def test_a_stopped_and_resumed_run_is_one_run_without_a_step_twice(recipe, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(Stopped):
        signalled(start(recipe, run=run))
    assert told(run)[0].info.status == "KILLED"
    finish(go_on(run))
    found, metrics = told(run)
    assert_agrees(run, metrics)
    assert found.info.status == "FINISHED"


def test_a_server_that_does_not_answer_is_said_once_and_told_all_when_it_does(recipe, tmp_path, monkeypatch):
    run = tmp_path / "run"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{taken.getsockname()[1]}")
        notes = []
        for event in start(recipe, run=run):
            if isinstance(event, Noted):
                notes.append(event.note)
            if isinstance(event, EpochEnded) and event.row.epoch == 2:
                break
    assert len(notes) == 1
    assert notes[0].startswith("MLflow failed (")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (finished,) = finish(go_on(run))
    assert finished.outcome.epochs == 3
    assert_agrees(run, told(run)[1])


def test_a_server_s_address_is_not_written_down(recipe, tmp_path, monkeypatch):
    run = tmp_path / "run"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")  # as good as any server
    for event in start(recipe, run=run):
        if isinstance(event, EpochEnded):
            break
    assert "sqlite" not in (run / "mlflow.json").read_text()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    note, _ = finish(go_on(run))
    assert "set MLFLOW_TRACKING_URI" in note.note
