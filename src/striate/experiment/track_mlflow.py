"""A run told to MLflow: the server of MLFLOW_TRACKING_URI, else MLflow's own SQLite store beside the run's folder.

The recipe's keys become parameters and the columns of metrics.csv metrics, by the step, the number of updates made.
RUN/mlflow.json holds which run of which store it is (of a server not its address, which may hold a password): a
resumed run goes on in the same one, without a step twice; what a killed process or a silent server missed is made up
for.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from striate.base.files import write_json
from striate.experiment.events import EpochEnded, Event, Finished, Started
from striate.experiment.history import metrics_of
from striate.experiment.run_folder import RunFolder
from striate.experiment.track import End, epoch_figures, figures

AT_ONCE = 100  # parameters a request, MLflow's limit
MARK = "seconds"  # a metric that every epoch has
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # a run is nobody else's business
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # training waits meanwhile: four minutes are too many
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


class MLflow:
    """Tells a run to MLflow, epoch by epoch.

    Args:
        folder: of the run.
        settings: the recipe, key by key.
    """

    name = "MLflow"

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.settings = settings
        self.client: Any = None
        self.run = ""
        self.step = 0  # of the last epoch told

    def show(self, event: Event) -> None:
        """Tell all epochs that MLflow does not have, and the end."""
        if not isinstance(event, Started | EpochEnded | Finished):
            return
        with _settings():
            self._open()
            self._catch_up()
            if isinstance(event, EpochEnded) and event.peak_memory:
                self._log({"peak_memory_gb": event.peak_memory / 1e9}, event.row.step)
            if isinstance(event, Finished):
                self._log({f"test_{name}": value for name, value in figures(event.outcome).items()}, self.step)
                self.client.set_terminated(self.run, "FINISHED")

    def end(self, end: End) -> None:
        """Tell what is left, and how it ended."""
        with _settings():
            self._open()
            self._catch_up()
            self.client.set_tag(self.run, "ended", end.message)
            self.client.set_terminated(self.run, "KILLED" if end.state == "stopped" else "FAILED")

    def _open(self) -> None:
        """Begin the run there, or go on with it."""
        if self.run:
            return
        from mlflow import MlflowClient

        known = RunFolder(self.folder).read_json("mlflow.json") or {}
        server = os.environ.get("MLFLOW_TRACKING_URI")
        store = None if server else known.get("store", f"sqlite:///{self.folder.resolve().parent / 'mlflow.db'}")
        if not (server or store):
            raise ValueError("the run was begun on a server: set MLFLOW_TRACKING_URI to it")
        self.client = MlflowClient(tracking_uri=server or store)
        run = known.get("run_id") or self._begin(store)
        self.client.update_run(run, status="RUNNING")
        self.step = max((metric.step for metric in self.client.get_metric_history(run, MARK)), default=0)
        self.run = run

    def _begin(self, store: str | None) -> str:
        from mlflow.entities import Param

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "striate")
        found = self.client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self.client.create_experiment(name)
        run: str = self.client.create_run(experiment, run_name=self.folder.resolve().name).info.run_id
        write_json(self.folder / "mlflow.json", {"run_id": run, "experiment": name, "store": store})
        params = [Param(key, value) for key, value in self.settings.items()]
        for start in range(0, len(params), AT_ONCE):
            self.client.log_batch(run, params=params[start : start + AT_ONCE])
        return run

    def _catch_up(self) -> None:
        history = metrics_of(self.folder)
        for row in history.rows:
            if row.step > self.step:
                self._log(epoch_figures(row, history.metric), row.step)
                self.step = row.step

    def _log(self, values: dict[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = round(time.time() * 1000)
        self.client.log_batch(self.run, metrics=[Metric(key, value, now, step) for key, value in values.items()])


@contextmanager
def _settings() -> Iterator[None]:
    """MLflow is set by variables; those that the user has set stay, and afterwards all are as before."""
    ours = {key: value for key, value in SETTINGS.items() if key not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for key in ours:
            os.environ.pop(key, None)
