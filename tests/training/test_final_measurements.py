"""Measurements at the end of a run: test rows, confusion of classes, and a baseline."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import gdframe as gd

NUMBERS = ["data=diabetes", "data.test=0.2"]
CLASSES = ["data=wine", "data.test=0.2"]
QUICK = ["epochs=8", "lr=0.05", "logging.tensorboard=false"]


@pytest.mark.parametrize("words", [NUMBERS, CLASSES])
def test_test_rows_are_measured_once_at_the_end_with_the_last_parameters(tmp_path, words):
    result = gd.train(*words, *QUICK, folder=tmp_path / "run")
    assert not [name for name in result.history.epochs if "test" in name]
    source = gd.Diabetes if words is NUMBERS else gd.Wine
    data = source(test=0.2).load()
    with torch.no_grad():
        outputs = result.module(data.test.features)
        loss = gd.MSE() if words is NUMBERS else gd.CrossEntropy()
        assert result.test_loss == pytest.approx(loss(outputs, data.test.targets).item(), rel=1e-5)
    stored = json.loads((tmp_path / "run" / "result.json").read_text())
    assert stored["test_loss"] == result.test_loss
    assert set(stored["metrics"]["test"]) == set(stored["metrics"]["validation"])


def test_test_rows_change_nothing_in_the_other_rows_or_their_training():
    alone = gd.train("data=diabetes", "data.validation=0.3", *QUICK)
    again = gd.train("data=diabetes", "data.validation=0.3", "data.test=0.0", *QUICK)
    assert alone.objective == again.objective


def test_confusion_counts_true_against_predicted_classes():
    result = gd.train(*CLASSES, *QUICK)
    data = gd.Wine(test=0.2).load()
    for part in ("validation", "test"):
        rows = getattr(data, part)
        predicted = result.module(rows.features).argmax(1)
        expected = np.zeros((3, 3), dtype=int)
        np.add.at(expected, (rows.targets.numpy(), predicted.numpy()), 1)
        assert result.confusion[part] == expected.tolist()
    accuracy = np.trace(result.confusion["test"]) / len(data.test)
    assert result.metrics["test"]["accuracy"] == pytest.approx(accuracy)
    assert result.confusion["classes"] == [str(label) for label in data.classes]


def test_the_baseline_is_what_a_constant_predicts():
    result = gd.train(*NUMBERS, "metric=[rmse,mae,r2]", *QUICK)
    data = gd.Diabetes(test=0.2).load()
    mean = data.train.targets.double().mean()
    for part in ("train", "validation", "test"):
        errors = getattr(data, part).targets.double() - mean
        baseline = result.baseline[part]
        assert baseline["rmse"] == pytest.approx(errors.square().mean().sqrt().item(), rel=1e-6)
        assert baseline["mae"] == pytest.approx(errors.abs().mean().item(), rel=1e-6)
    assert result.baseline["name"] == "mean"
    assert result.baseline["train"]["r2"] == pytest.approx(0.0, abs=1e-9)
    result = gd.train("data=breast_cancer", "metric=[accuracy,log_loss,roc_auc]", *QUICK)
    data = gd.BreastCancer().load()
    share = data.class_counts.max().item() / data.rows
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert result.baseline["train"] == pytest.approx(
        {"accuracy": share, "log_loss": entropy, "roc_auc": 0.5}, rel=1e-6
    )


@pytest.mark.parametrize("is_walk", [True, False])
def test_a_model_of_a_series_is_compared_with_the_value_before(tmp_path, is_walk):
    draw = np.random.default_rng(0).normal(size=200)
    x = np.random.default_rng(1).normal(size=200)
    y = np.cumsum(draw) if is_walk else 3 * x + 0.1 * draw
    lines = [f"{t},{a},{b}" for t, a, b in zip(range(200), x, y, strict=True)]
    shuffled = np.random.default_rng(2).permutation(lines)
    path = tmp_path / "series.csv"
    path.write_text("\n".join(["day,x,y", *shuffled]) + "\n")
    words = ["data=table", f"data.path={path}", "data.target=y", "data.split=time", "data.time=day"]
    result = gd.train(*words, "epochs=30", "lr=0.1", "data.exclude=[day]")
    assert result.baseline["name"] == "value before"
    errors = np.diff(y)[159:]  # from the last training row on
    rmse = float(np.sqrt((errors**2).mean()))
    assert result.baseline["validation"]["rmse"] == pytest.approx(rmse, rel=1e-5)
    assert ("no better than" in result.reason) == is_walk


def test_functions_and_diverged_runs_have_no_measurements_at_the_end():
    result = gd.train("model=himmelblau", "lr=0.01", "epochs=5")
    assert (result.test_loss, result.baseline, result.confusion) == (None, None, None)
    result = gd.train(*NUMBERS, "lr=100", "epochs=20")
    assert result.status == "diverged"
    assert (result.test_loss, result.baseline) == (None, None)
