"""Metrics equal scikit-learn's, whole or in sums, on every engine, and work as plugins."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics
import sklearn.utils.extmath
import torch

import gdframe as gd
from gdframe.data.rows import Rows
from gdframe.metrics.tally import Tally, default_metrics

DRAW = np.random.default_rng(0)
VALUES, GUESSES = DRAW.standard_normal((2, 50, 1))
REGRESSION = {
    "r2": lambda y, z: sklearn.metrics.r2_score(y, z),
    "rmse": lambda y, z: sklearn.metrics.root_mean_squared_error(y, z),
    "mae": lambda y, z: sklearn.metrics.mean_absolute_error(y, z),
    "mape": lambda y, z: sklearn.metrics.mean_absolute_percentage_error(y, z),
}


def shares(z):
    return sklearn.utils.extmath.softmax(z) if z.shape[1] > 1 else 1 / (1 + np.exp(-z[:, 0]))


def ranked(measure, y, z):
    """The metric of the second of two classes, or the mean of each class against the others."""
    if z.shape[1] <= 2:
        return measure(y, z[:, -1] - (z[:, 0] if z.shape[1] == 2 else 0))
    return np.mean([measure(y == k, shares(z)[:, k]) for k in range(z.shape[1])])


def decided(measure):
    """Metric of the predicted classes by scikit-learn; none to divide by counts as 0."""

    def metric(y, z):
        average = "binary" if z.shape[1] <= 2 else "macro"
        return measure(y, chosen(z), average=average, zero_division=0.0)

    return metric


def chosen(z):
    return (z[:, 0] > 0).astype(int) if z.shape[1] == 1 else z.argmax(axis=1)


CLASSIFICATION = {
    "accuracy": lambda y, z: sklearn.metrics.accuracy_score(y, chosen(z)),
    "balanced_accuracy": lambda y, z: np.mean([(chosen(z) == k)[y == k].mean() for k in set(y)]),
    "precision": decided(sklearn.metrics.precision_score),
    "recall": decided(sklearn.metrics.recall_score),
    "f1": decided(sklearn.metrics.f1_score),
    "roc_auc": lambda y, z: ranked(sklearn.metrics.roc_auc_score, y, z),
    "pr_auc": lambda y, z: ranked(sklearn.metrics.average_precision_score, y, z),
    "log_loss": lambda y, z: sklearn.metrics.log_loss(
        y, shares(z), labels=[*range(max(2, z.shape[1]))]
    ),
}


def measured(name, loss, outputs, targets, sizes=(50,), weights=None):
    """The metric of outputs that arrive in chunks."""
    encoded = loss.encode(targets, outputs.dtype)
    shares = None if weights is None else torch.from_numpy(weights)
    rows = Rows(outputs, encoded, targets, shares)
    tally = Tally({name: gd.METRICS.build(name)}, loss, rows)
    for part in torch.arange(len(outputs)).split(sizes[0]):
        tally.add(outputs[part], encoded[part])
    return tally.values()[name]


def test_every_metric_has_a_reference():
    builtin = set(gd.METRICS) - set(gd.METRICS.user_components())
    assert builtin == {*REGRESSION, *CLASSIFICATION}


@pytest.mark.parametrize("size", [7, 50])
@pytest.mark.parametrize("name", REGRESSION)
def test_metrics_of_values_equal_scikit_learn(name, size):
    value = measured(name, gd.MSE(), *map(torch.from_numpy, (GUESSES, VALUES)), [size])
    assert value == pytest.approx(REGRESSION[name](VALUES, GUESSES), rel=1e-12)


@pytest.mark.parametrize("outputs", [1, 2, 3, 5])
@pytest.mark.parametrize("name", CLASSIFICATION)
def test_metrics_of_classes_equal_scikit_learn(name, outputs):
    classes = max(outputs, 2)
    for seed in range(20):
        draw = np.random.default_rng(seed)
        rows = int(draw.integers(2 * classes, 60))
        # each class has rows; some scores are tied, and a class may never be predicted
        y = np.concatenate([np.arange(classes), draw.integers(0, classes, rows - classes)])
        z = draw.standard_normal((rows, outputs))
        if outputs <= 2:  # the rounding of a softmax breaks ties
            z = z.round(int(draw.integers(0, 3)))
        z[:, 0] -= draw.choice([0.0, 3.0])
        loss = gd.BinaryCrossEntropy() if outputs == 1 else gd.CrossEntropy()
        size = int(draw.integers(1, rows + 1))
        value = measured(name, loss, *map(torch.from_numpy, (z, y)), [size])
        assert value == pytest.approx(CLASSIFICATION[name](y, z), rel=1e-12, abs=1e-15), seed


WEIGHTED = {
    "r2": lambda y, z, w: sklearn.metrics.r2_score(y, z, sample_weight=w),
    "rmse": lambda y, z, w: sklearn.metrics.root_mean_squared_error(y, z, sample_weight=w),
    "mae": lambda y, z, w: sklearn.metrics.mean_absolute_error(y, z, sample_weight=w),
    "mape": lambda y, z, w: sklearn.metrics.mean_absolute_percentage_error(y, z, sample_weight=w),
    "accuracy": lambda y, z, w: sklearn.metrics.accuracy_score(y, z > 0, sample_weight=w),
    "balanced_accuracy": lambda y, z, w: sklearn.metrics.balanced_accuracy_score(
        y, z > 0, sample_weight=w
    ),
    "precision": lambda y, z, w: sklearn.metrics.precision_score(y, z > 0, sample_weight=w),
    "recall": lambda y, z, w: sklearn.metrics.recall_score(y, z > 0, sample_weight=w),
    "f1": lambda y, z, w: sklearn.metrics.f1_score(y, z > 0, sample_weight=w),
    "roc_auc": lambda y, z, w: sklearn.metrics.roc_auc_score(y, z, sample_weight=w),
    "pr_auc": lambda y, z, w: sklearn.metrics.average_precision_score(y, z, sample_weight=w),
    "log_loss": lambda y, z, w: sklearn.metrics.log_loss(
        y, 1 / (1 + np.exp(-z)), sample_weight=w
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted({*REGRESSION, *CLASSIFICATION}))
def test_weighted_metrics_equal_scikit_learn(name):
    for seed in range(10):
        draw = np.random.default_rng(seed)
        y, z = draw.integers(0, 2, 40), draw.standard_normal((40, 1)).round(1)
        y = draw.standard_normal((40, 1)) if name in REGRESSION else y
        weights = draw.exponential(size=40)
        loss = gd.MSE() if name in REGRESSION else gd.BinaryCrossEntropy()
        value = measured(name, loss, torch.from_numpy(z), torch.from_numpy(y), [7], weights)
        assert value == pytest.approx(WEIGHTED[name](y, z[:, 0], weights), rel=1e-9), seed


def test_metrics_of_rankings_are_nan_if_a_class_has_no_rows():
    for name in ("roc_auc", "pr_auc"):
        for outputs, loss in ((1, gd.BinaryCrossEntropy()), (3, gd.CrossEntropy())):
            targets = torch.tensor([1, 1, 1]) if outputs == 1 else torch.tensor([0, 1, 0])
            assert math.isnan(measured(name, loss, torch.eye(3)[:, :outputs], targets))


def test_a_class_without_rows_or_predictions_does_not_count():
    outputs, targets = torch.eye(3)[[0, 1, 1]], torch.tensor([0, 1, 0])
    for name, expected in (("precision", 0.75), ("recall", 0.75), ("balanced_accuracy", 0.75)):
        assert measured(name, gd.CrossEntropy(), outputs, targets) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("rare", "classes", "is_rare"), [(19, 2, True), (21, 2, False), (5, 10, False), (3, 10, True)]
)
def test_metrics_that_see_rare_classes_are_measured_where_one_is_rare(rare, classes, is_rare):
    # (100 - rare) rows of the other classes, in equal shares
    targets = np.concatenate([np.zeros(rare, int), 1 + np.arange(100 - rare) % (classes - 1)])
    data = gd.Dataset.from_arrays(DRAW.standard_normal((100, 3)), [f"c{k}" for k in targets])
    names = set(default_metrics(data))
    assert names == ({"accuracy", "balanced_accuracy", "roc_auc"} if is_rare else {"accuracy"})


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
