"""The observer that logs a run to MLflow."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gdframe.errors import InputError, UserError
from gdframe.observers.base import Observer, Watched
from gdframe.registry import OBSERVERS
from gdframe.runs.event_tags import tag_of
from gdframe.runs.result import Result
from gdframe.stopping import Status

FAILURES = (Status.DIVERGED, Status.FAILED)
"""Statuses that MLflow shows as failed."""


@OBSERVERS.register("mlflow")
class MLflow(Observer):
    """Logs hyperparameters, the history as metrics and the verdict as tags; needs ``mlflow``.

    A resumed run becomes a new MLflow run, which begins at the checkpoint.

    Args:
        folder: the run folder; its path becomes the name of the MLflow run.
        uri: address of the tracking server or folder; by default MLflow's ``MLFLOW_TRACKING_URI``.
        experiment: name of the experiment, which is created if it does not exist.
        hyperparameters: values that are logged as parameters.

    Raises:
        UserError: MLflow is not installed, or refuses the URI.
    """

    def __init__(
        self,
        folder: Path,
        *,
        uri: str | None = None,
        experiment: str = "gdframe",
        hyperparameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.uri, self.experiment = Path(folder), uri, experiment
        self.hyperparameters = dict(hyperparameters or {})
        self._run: str | None = None
        try:
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException
        except ImportError as error:
            raise UserError(
                "observer=mlflow needs an extra that is not installed: "
                "pip install 'gdframe[mlflow]'"
            ) from error
        try:
            self._client = MlflowClient(tracking_uri=uri)
            self._client.get_experiment_by_name(experiment)
        except (MlflowException, OSError, ValueError) as error:
            raise InputError(f"uri={uri}", str(error)) from error

    def on_start(self, run: Watched) -> None:
        """Create the MLflow run, with its hyperparameters and the first evaluation."""
        existing = self._client.get_experiment_by_name(self.experiment)  # another run may make it
        if existing is not None:
            experiment = existing.experiment_id
        else:
            experiment = self._client.create_experiment(self.experiment)
        created = self._client.create_run(experiment, run_name=str(self.folder))
        self._run = created.info.run_id
        for name, value in self.hyperparameters.items():
            self._client.log_param(self._run, name, value)
        self._log(run)

    def on_epoch(self, run: Watched) -> None:
        """Log the epoch's evaluation."""
        self._log(run)

    def on_end(self, run: Watched, result: Result) -> None:
        """Log the verdict, and end the MLflow run."""
        assert self._run is not None
        self._client.set_tag(self._run, "status", str(result.status))
        self._client.set_tag(self._run, "reason", result.reason)
        status = "FAILED" if str(result.status) in FAILURES else "FINISHED"
        self._client.set_terminated(self._run, status)
        self._run = None

    def close(self) -> None:
        """End the MLflow run if it has not ended."""
        if self._run is not None:
            self._client.set_terminated(self._run, "KILLED")
            self._run = None

    def _log(self, run: Watched) -> None:
        from mlflow.entities import Metric

        row, now = run.history.last, int(time.time() * 1000)
        step = int(row["epoch"])
        metrics = [
            Metric(tag_of(name) or name, value, now, step)
            for name, value in row.items()
            if not math.isnan(value)
        ]
        assert self._run is not None
        self._client.log_batch(self._run, metrics=metrics)
