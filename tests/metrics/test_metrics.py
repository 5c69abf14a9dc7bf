"""Metrics equal scikit-learn's, whole or in sums, on every engine, and work as plugins."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics
import torch

import gdframe as gd
from gdframe.data.dataset import Rows
from gdframe.metrics.tally import Tally

DRAW = np.random.default_rng(0)
VALUES, GUESSES = DRAW.standard_normal((2, 50, 1))
LABELS, CHOICES = DRAW.integers(0, 3, (2, 50))

REFERENCES = {  # a metric that scikit-learn has not needs a test of its own
    "r2": lambda: sklearn.metrics.r2_score(VALUES, GUESSES),
    "rmse": lambda: sklearn.metrics.root_mean_squared_error(VALUES, GUESSES),
    "mae": lambda: sklearn.metrics.mean_absolute_error(VALUES, GUESSES),
    "accuracy": lambda: sklearn.metrics.accuracy_score(LABELS, CHOICES),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_metrics_equal_scikit_learn(name):
    metric = gd.METRICS.build(name)
    arguments = (CHOICES, LABELS) if metric.task == "classification" else (GUESSES, VALUES)
    assert metric(*map(torch.from_numpy, arguments)) == pytest.approx(REFERENCES[name]())


@pytest.mark.parametrize("name", gd.METRICS)
def test_sums_over_chunks_equal_the_whole(name):
    metric = gd.METRICS.build(name)
    if metric.task == "classification":
        loss, outputs = gd.CrossEntropy(), torch.randn(50, 3, generator=torch.manual_seed(0))
        targets = torch.from_numpy(LABELS)
    else:
        loss, outputs, targets = gd.MSE(), torch.from_numpy(GUESSES), torch.from_numpy(VALUES)
    rows = Rows(outputs, targets)
    tally = Tally({name: metric}, loss, rows)
    for part in torch.arange(50).split(7):
        tally.add(outputs[part], targets[part])
    assert tally.values()[name] == pytest.approx(float(metric(loss.predict(outputs), targets)))


def test_r2_of_equal_targets_is_nan():
    same = torch.ones(4, 1)
    assert math.isnan(gd.R2()(torch.zeros(4, 1), same))


class LogScore(gd.Metric):
    """Mean logarithm of the right class's probability."""

    task, maximize, needs = "classification", True, "probabilities"

    def __call__(self, predicted, targets):
        return predicted.gather(1, targets[:, None]).log().mean()


class Spread(gd.Metric):
    """Range of the outputs."""

    needs = "scores"

    def __call__(self, predicted, targets):
        return predicted.max() - predicted.min()


def trainer(metrics, engine="eager", loss=None, **more):
    data = gd.BreastCancer().load(dtype=torch.float64)
    model = gd.Linear(data.features).double()
    rule = gd.GD(model.parameters(), lr=0.1)
    loss = loss or gd.BinaryCrossEntropy()
    loader = gd.MiniBatch(data.rows, 64)
    return gd.Trainer(
        model, loss, rule, loader, data, metrics=metrics, engine=engine, epochs=3, **more
    )


@pytest.mark.parametrize("engine", ["eager", "linear"])
def test_users_metrics_are_measured_on_every_engine(engine):
    result = trainer([LogScore(), Spread(), "accuracy"], engine).fit()
    assert list(result.metrics["train"]) == ["LogScore", "Spread", "accuracy"]
    model, loss, data = result.module, gd.BinaryCrossEntropy(), gd.BreastCancer().load(
        dtype=torch.float64)  # fmt: skip
    with torch.no_grad():
        outputs = model(data.train.features)
    shares = loss.probabilities(outputs)
    expected = sklearn.metrics.log_loss(data.train.targets.numpy(), shares[:, 1].numpy())
    assert result.metrics["train"]["LogScore"] == pytest.approx(-expected, rel=1e-6)
    assert result.metrics["train"]["Spread"] == pytest.approx(
        float(outputs.max() - outputs.min()), rel=1e-9
    )
    assert result.history["validation/LogScore"].shape == (4,)


def test_metrics_that_do_not_fit_are_refused():
    with pytest.raises(gd.UserError, match="metric r2 is for regression"):
        trainer(["r2"])
    with pytest.raises(gd.UserError, match="metric LogScore: needs probabilities, but loss Hinge"):
        trainer([LogScore()], loss=gd.Hinge())
    with pytest.raises(gd.UserError, match="metric=acuracy: there is no such metric"):
        trainer(["acuracy"])
    with pytest.raises(gd.UserError, match="metric was given as builtin"):
        trainer([print])

    class Broken(Spread):
        def __call__(self, predicted, targets):
            return predicted

    with pytest.raises(gd.UserError, match=r"metric Broken: returned a Tensor of shape \(2, 1\)"):
        trainer([Broken()])


PLUGIN = """
from gdframe import METRICS, Metric

@METRICS.register("hits")
class Hits(Metric):
    \"\"\"Share of predictions within a distance of the targets.\"\"\"

    maximize = True

    def __init__(self, *, distance: float = 50.0) -> None:
        self.distance = distance

    def __call__(self, predicted, targets):
        return ((predicted - targets).abs() < self.distance).double().mean()
"""


def test_a_plugins_metric_is_chosen_by_config_and_decides_a_sweep(tmp_path, gdframe):
    (tmp_path / "hits.py").write_text(PLUGIN)
    done = gdframe(
        "-m", "plugins=[hits.py]", "metric=[hits,rmse]", "metric.hits.distance=80",
        "sweep.metric=metrics.validation.hits", "lr=0.0001,0.1", "epochs=20", "variant=batch",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "metrics.validation.hits" in done.out
    best = next(line for line in done.out.splitlines() if line.startswith("best"))
    assert "lr=0.1" in best
