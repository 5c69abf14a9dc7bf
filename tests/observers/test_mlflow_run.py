"""Logging to MLflow in a local file store, and the message without MLflow."""

from __future__ import annotations

import sys

import pytest

import gdframe as gd

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's, about itself


def test_a_run_is_logged(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "store").as_uri()
    result = gd.train(
        "observer=mlflow", f"observer.mlflow.uri='{uri}'", "observer.mlflow.experiment=ours",
        "epochs=4", folder=tmp_path / "run",
    )  # fmt: skip
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("ours")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["status"] == str(result.status)
    assert run.data.params["lr"] == "0.01"
    assert run.data.metrics["objective/train"] == pytest.approx(result.objective)
    points = client.get_metric_history(run.info.run_id, "loss/train")
    assert [point.step for point in points] == [0, 1, 2, 3, 4]


def test_without_mlflow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(gd.UserError, match=r"pip install 'gdframe\[mlflow\]'"):
        gd.train("observer=mlflow", folder=tmp_path / "run")
