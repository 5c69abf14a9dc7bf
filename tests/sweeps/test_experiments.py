"""The experiments of ``conf/experiment``: each has the result that its comment promises."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml

import gdframe as gd
from gdframe.config.schema import config_folder


@pytest.fixture
def experiment(gdframe):
    def run(name, *overrides):
        done = gdframe(f"experiment={name}", "sweep.dir=sweep", "checkpoint.every=null", *overrides)
        assert done.code == 0, done.err
        summary = json.loads((done.folder / "sweep" / "summary.json").read_text())
        return done, summary

    return run


def by(summary, key):
    return {c["settings"][key]: c for c in summary["configurations"]}


def verdicts(summary, key):
    return {d["other"]: d["verdict"] for d in summary["differences"] if d["key"] == key}


def test_experiments_hold_overrides_only():
    for path in Path(config_folder() / "experiment").glob("*.yaml"):
        text = path.read_text()
        assert text.startswith("# @package _global_\n# "), path
        assert "_target_" not in text
        assert yaml.safe_load(text)


def test_variants(experiment):
    _, summary = experiment("variants")
    means = {key: c["mean"] for key, c in by(summary, "variant").items()}
    assert means["sgd"] < means["minibatch"] < means["batch"]
    assert verdicts(summary, "variant") == dict.fromkeys(("minibatch", "batch"), "beyond chance")
    samples = {row["samples"] for row in summary["runs"]}
    assert len(samples) == 1  # equal cost


@pytest.mark.slow
def test_learning_rates(experiment):
    done, summary = experiment("learning_rates")
    statuses = {key: list(c["statuses"]) for key, c in by(summary, "lr").items()}
    assert statuses["0.0001"] == ["max_epochs"]
    assert statuses["0.1"] == statuses["0.2"] == ["converged"]
    assert statuses["1"] == statuses["10"] == ["diverged"]
    assert (done.folder / "sweep" / "learning_rates.png").exists()


@pytest.mark.slow
def test_initialisation(experiment):
    _, summary = experiment("initialisation", "engine=eager", "epochs=20")
    levels = by(summary, "initializer")
    assert levels["zeros"]["mean"] == pytest.approx(1.0986, abs=0.01)  # log 3: random guessing
    assert levels["kaiming"]["mean"] < 0.6 * levels["normal"]["mean"]
    assert verdicts(summary, "initializer")["zeros"] == "beyond chance"


@pytest.mark.slow
def test_regularisation(experiment):
    _, summary = experiment("regularisation")
    levels = by(summary, "penalty.strength")
    validation_losses = [levels[s]["mean"] for s in ("0", "0.01", "0.1", "1", "10")]
    assert min(validation_losses) in validation_losses[1:-1]
    by_strength = {row["penalty.strength"]: row["train_loss"] for row in summary["runs"]}
    train_losses = [by_strength[s] for s in ("0", "0.01", "0.1", "1", "10")]
    assert train_losses == sorted(train_losses)


@pytest.mark.slow
def test_momentum(experiment):
    done, summary = experiment("momentum")
    best = {}
    for configuration in summary["configurations"]:  # best first
        best.setdefault(configuration["settings"]["optimizer"], configuration)
    steps = {optimizer: c["mean"] for optimizer, c in best.items()}
    assert steps["momentum"] < steps["gd"] / 3
    assert steps["nesterov"] < steps["gd"] / 3
    rates = [0.2, 0.4, 0.8, 1.2, 1.6]
    for optimizer, configuration in best.items():  # no best rate is at the upper edge
        assert float(configuration["settings"]["lr"]) in rates[1:-1], optimizer
        assert configuration["statuses"] == {"target_reached": 8}
    (gd,) = (d for d in summary["differences"] if d["other"] == "gd")
    assert gd["verdict"] == "beyond chance"
    assert gd["settings"]["other"]["lr"] == "0.8"
    assert "steps to target" in done.out
    assert "seconds.train to target" in done.out


@pytest.mark.slow
def test_local_minima(experiment):
    done, summary = experiment("local_minima", "seed=range(36)", "engine=eager", "epochs=400")
    minima = {}
    for minimum in summary["minima"]:
        minima.setdefault(minimum["model"], []).append(minimum)
    points = sorted(tuple(round(x, 2) for x in m["point"]) for m in minima["himmelblau"])
    assert points == [(-3.78, -3.28), (-2.81, 3.13), (3.0, 2.0), (3.58, -1.85)]
    assert sum(minimum["share"] for minimum in minima["himmelblau"]) == pytest.approx(1)
    assert len(minima["rastrigin"]) > 20
    values = [minimum["objective"] for minimum in minima["double_well"]]
    assert values == pytest.approx([-0.3054, 0.2941], abs=1e-3)
    assert "himmelblau: 4 minima found" in done.out
    assert all(row["point"] for row in summary["runs"])


@pytest.mark.slow
def test_a_thousand_starts_of_a_function_are_one_group(gdframe):
    done = gdframe("experiment=local_minima", "sweep.dir=sweep")
    assert done.code == 0, done.err
    assert "sweep: 3,000 runs: 3,000 in 3 " in done.out
    summary = json.loads((done.folder / "sweep" / "summary.json").read_text())
    values = [m["objective"] for m in summary["minima"] if m["model"] == "double_well"]
    assert values == pytest.approx([-0.3054, 0.2941], abs=1e-3)
    (command,) = [line for key, line in summary["winners"].items() if "rastrigin" in key]
    again = gdframe(*shlex.split(command)[3:], "hydra.run.dir=again", cwd=done.folder)
    result = json.loads((done.folder / "again" / "result.json").read_text())
    lowest = min(r["objective"] for r in summary["runs"] if r["model"] == "rastrigin")
    assert again.code == 0
    assert result["objective"] == pytest.approx(lowest, abs=1e-6)


@pytest.mark.slow
def test_edge_of_stability(tmp_path):
    """Curvature rises to the limit and stays there; a smaller learning rate allows more."""
    edge = gd.train("experiment=edge_of_stability", folder=tmp_path / "edge")
    product = edge.history["curvature/lr_times_lambda_max"]
    late = product[np.isfinite(product)][100:]
    assert np.median(late) == pytest.approx(2.0, abs=0.05)
    assert np.mean(np.abs(late - 2) < 0.2) > 0.95
    objective = edge.history["objective"]
    assert objective[-100:].min() < 0.3 * objective[200]
    assert (np.diff(objective) > 0).sum() > 100  # it decreases, but not in every epoch
    slower = gd.train("experiment=edge_of_stability", "lr=0.06", folder=tmp_path / "slower")
    sharpest = np.nanmax(slower.history["curvature/lambda_max"])
    assert sharpest > 1.2 * np.median(late) / 0.12
    assert np.isclose(slower.diagnostics["stability_limit"], 2 / slower.diagnostics["lambda_max"])
