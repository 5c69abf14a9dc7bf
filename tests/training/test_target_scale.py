"""Targets are standardised where training depends on their scale, and nobody sees it but the rate.

Each run on a target far from the scale of 1 equals the run on the same target in other units, and
what it reports is computed again from its predictions.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

import gdframe as gd
from gdframe.cli.landscape import landscape
from gdframe.config.target_scale import fit_target_scale
from gdframe.config.train_run import resume_run
from gdframe.data.standard_targets import with_standard_targets

QUIET = (
    "logging.tensorboard=false", "logging.progress=false", "preflight=false",
    "stopping.gradient_tolerance=null",  # a number in the units of the target
)  # fmt: skip

ROWS = 120

DEPENDENT = [
    "model=mlp model.hidden=[5] lr=0.02",
    "model=mlp model.hidden=[5] optimizer=adam lr=0.02",
    "model=mlp model.hidden=[5] penalty=l2 lr=0.02 loss=mae",
    "model=polynomial optimizer=rmsprop lr=0.01",
    "optimizer=adam lr=0.05 penalty=l2 penalty.strength=0.1",
    "optimizer=adagrad lr=0.1 engine=eager",
    "loss=mae lr=0.05",
    "loss=huber loss.delta=1.0 lr=0.05 engine=eager",
    "loss=huber loss.delta=1e-3 lr=0.05 variant=batch",
    "model=mlp model.hidden=[5] loss=huber loss.delta=0.5 optimizer=adam lr=0.02",
    "optimizer=adam optimizer.clip_norm=0.5 lr=0.1 variant=batch",
    "optimizer=adam lr=0.05 penalty=l2 penalty.biases=true",
    "optimizer=adam lr=0.05 model.bias=false",
    "optimizer=adam lr=0.05 data.target=[y,z]",
    "optimizer=adam lr=0.05 data.weights=w",
    "optimizer=adam lr=0.05 stopping=[early] stopping.early.patience=3",
]

INDIFFERENT = [
    "lr=0.05",
    "optimizer=momentum lr=0.05 penalty=l2",
    "optimizer=nesterov lr=0.05 model=polynomial",
    "optimizer=adam lr=0.05 penalty=l1",
    "optimizer.clip_norm=0.5 lr=0.1",
    "optimizer=adam lr=0.05 metric=[mape]",
    "optimizer=adam lr=0.05 data.standardize_target=false",
    "loss=mae penalty=l2 lr=0.05",
    "loss=huber penalty=l2 lr=0.05",
]
"""Runs on the target as it is: its scale does not matter, or would change the minimum."""


def columns():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(ROWS, 3))
    y = np.tanh(x[:, 0]) + 0.5 * x[:, 1] + 0.2 * draw.normal(size=ROWS) + 2
    z = x[:, 2] - x[:, 0] + 0.1 * draw.normal(size=ROWS)
    return x, y, z, draw.integers(1, 4, size=ROWS)


def write(path, scale=1.0, shift=0.0):
    x, y, z, w = columns()
    rows = zip(*x.T, y * scale + shift, z * scale, w, strict=True)
    lines = ["a,b,c,y,z,w", *(",".join(map(repr, map(float, row))) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def train(path, words, *more):
    settings = [f"data.path={path}", *words.split(), *more]
    if not any(word.startswith("data.target=") for word in settings):
        settings.append("data.target=y")
    if not any(word.startswith("data.weights=") for word in settings):
        settings.append("data.exclude=[w]" if "z]" in words else "data.exclude=[w,z]")
    elif "data.weights=w" in settings:
        settings.append("data.exclude=[z]")
    folder = path.parent / f"run{len([*path.parent.iterdir()])}"
    quiet = () if "observers" in more else QUIET
    if not any(word.startswith("epochs=") for word in settings):
        settings.append("epochs=8")
    return gd.train("data=table", "dtype=float64", *quiet, *settings, folder=folder)


def is_standardized(result):
    return any("for training: lr" in note for note in result.data.get("notes", ()))


@pytest.mark.parametrize(
    ("words", "scale", "shift"),
    [(words, 3e5, 1e6) for words in DEPENDENT] + [(words, 2e-11, 0.0) for words in DEPENDENT[::4]],
)
def test_a_run_takes_the_same_course_in_other_units(tmp_path, words, scale, shift):
    shift *= "mlp" in words  # predictions of linear models start at zero
    one = train(write(tmp_path / "one.csv"), words, "data.test=0.1")
    in_units = " ".join(
        f"loss.delta={float(word[11:]) * scale}" if word.startswith("loss.delta=") else word
        for word in words.split()
    )
    other = train(write(tmp_path / "other.csv", scale, shift), in_units, "data.test=0.1")
    assert is_standardized(one)
    assert is_standardized(other)
    unit = scale ** (1 if "loss=mae" in words else 2)
    factors = {"rmse": scale, "mae": scale, "r2": 1.0}
    for name, values in one.history.epochs.items():
        part, _, metric = name.partition("/")
        factor = 1.0
        if part in ("objective", "train_loss", "validation_loss"):
            factor = unit
        elif part == "gradient_norm":
            factor = unit if "mlp" in words else unit / scale
        elif part in ("train", "validation"):
            factor = factors[metric]
        if name != "seconds":
            tolerance = (1e-6 if part == "gradient_norm" else 1e-12) * factor
            expected = np.asarray(values) * factor
            np.testing.assert_allclose(other.history[name], expected, rtol=1e-6, atol=tolerance)
    assert other.test_loss == pytest.approx(one.test_loss * unit, rel=1e-6)
    steps = [np.asarray(result.history.steps["loss"]) for result in (one, other)]
    np.testing.assert_allclose(steps[1], steps[0] * unit, rtol=1e-6)
    for part, values in one.baseline.items():
        for metric, value in values.items() if part != "name" else ():
            assert other.baseline[part][metric] == pytest.approx(
                value * factors[metric], rel=1e-6, abs=1e-9
            )


@pytest.mark.parametrize("words", [*DEPENDENT, *INDIFFERENT])
def test_what_a_run_reports_follows_from_its_predictions(tmp_path, words):
    scale, shift = 3e5, 1e6
    path = write(tmp_path / "data.csv", scale, shift)
    result = train(path, words, "data.test=0.1")
    assert is_standardized(result) == (words in DEPENDENT)
    _, y, z, w = columns()
    table = gd.predict(result.folder, path)
    predicted = np.column_stack(
        [table[name].to_numpy() for name in table.column_names if name.startswith("prediction")]
    )
    truth = np.column_stack([y * scale + shift, z * scale][: predicted.shape[1]])
    settings = json.loads(json.dumps(result.data))
    parts = parts_of(result, path, words)
    for part, rows in parts.items():
        error, weights = predicted[rows] - truth[rows], np.ones(len(rows))
        if "data.weights" in words:
            weights = w[rows] / w[rows].mean()
        mean = truth[rows].T @ weights / len(rows)
        squares = (weights @ error**2).sum() / error.size
        absolute = (weights @ np.abs(error)).sum() / error.size
        variation = (weights @ (truth[rows] - mean) ** 2).sum() / error.size
        loss = absolute if "loss=mae" in words else squares
        if "loss=huber" in words:
            delta = next((float(w[11:]) for w in words.split() if "loss.delta=" in w), 1.0)
            size = np.abs(error)
            near = size <= delta
            loss = np.where(near, size**2 / 2, delta * (size - delta / 2)).mean()
        metrics = result.metrics[part]
        if "mape" not in words:
            assert metrics["rmse"] == pytest.approx(math.sqrt(squares), rel=1e-8)
            assert metrics["mae"] == pytest.approx(absolute, rel=1e-8)
            assert metrics["r2"] == pytest.approx(1 - squares / variation, rel=1e-6)
        assert getattr(result, f"{part}_loss") == pytest.approx(loss, rel=1e-8), settings


@pytest.mark.parametrize(
    "words", ["optimizer=adam", "loss=mae", "optimizer=adam penalty=l2", "loss=huber"]
)
def test_gradient_norms_are_those_of_the_objective_in_the_units_of_the_target(tmp_path, words):
    """A linear model starts at zero on any scale; there its gradient is that on the raw target."""
    path = write(tmp_path / "data.csv", 3e3, 1e2)
    runs = [
        train(path, f"{words} lr=1e-9 variant=batch", "epochs=1", f"data.standardize_target={on}")
        for on in ("true", "false")
    ]
    assert [is_standardized(run) for run in runs] == [True, False]
    for column in ("objective", "gradient_norm", "gradient_norm/weight", "gradient_norm/bias"):
        values = [run.history[column][0] for run in runs]
        assert values[0] == pytest.approx(values[1], rel=1e-9)
    steps = [run.history.steps["gradient_norm"][0] for run in runs]
    assert steps[0] == pytest.approx(steps[1], rel=1e-9)


def parts_of(result, path, words):
    """The rows of each part, by their features, which are the same on any scale."""
    x, *_ = columns()
    features = {tuple(np.round(row, 9)): index for index, row in enumerate(x)}
    source = {"path": str(path), "target": "y", "exclude": ["w", "z"], "standardize": False}
    if "[y,z]" in words:
        source |= {"target": ["y", "z"], "exclude": ["w"]}
    if "data.weights" in words:
        source |= {"exclude": ["z"], "weights": "w"}
    data = gd.Table(**source, test=0.1).load(dtype=torch.float64)
    return {
        name: np.array([features[tuple(np.round(row, 9))] for row in rows.features.numpy()[:, :3]])
        for name, rows in (
            ("train", data.train),
            ("validation", data.validation),
            ("test", data.test),
        )
    }


def test_the_minimum_and_the_gap_are_in_the_units_of_the_target(tmp_path):
    path = write(tmp_path / "data.csv", 3e5, 1e6)
    words = "optimizer=adam lr=0.05 penalty=l2 penalty.strength=0.1 variant=batch"
    result = train(path, words, "data.validation=0", "epochs=40", "diagnostics.theory=true")
    x, y, *_ = columns()
    y = y * 3e5 + 1e6
    x = (x - x.mean(0)) / x.std(0)
    centred = y - y.mean()
    w = np.linalg.solve(x.T @ x / ROWS + 0.1 * np.eye(3), x.T @ centred / ROWS)
    minimum = ((centred - x @ w) ** 2).mean() + 0.1 * (w**2).sum()
    assert result.diagnostics["minimum"] == pytest.approx(minimum, rel=1e-9)
    gap = result.objective - minimum
    np.testing.assert_allclose(result.history["theory/gap"][-1], gap, rtol=1e-6)
    assert f"the objective is {gap:.3g} above its minimum {minimum:.6g}" in result.reason
    weights = np.array([c.standardized for c in result.coefficients[:3]])
    assert result.objective == pytest.approx(result.train_loss + 0.1 * (weights**2).sum())


def test_thresholds_of_rules_are_in_the_units_of_the_target(tmp_path):
    path = write(tmp_path / "data.csv", 3e5, 1e6)
    words = "optimizer=adam lr=0.05 epochs=200"
    target = 0.5 * train(path, words).history["objective"][0]
    result = train(path, words, "stopping=[objective]", f"stopping.objective.target={target}")
    assert result.objective <= target < result.history["objective"][-2]


def test_a_resumed_run_equals_the_whole_one(tmp_path):
    path = write(tmp_path / "data.csv", 3e5, 1e6)
    words = "model=mlp model.hidden=[5] optimizer=adam lr=0.02"
    whole, part = train(path, words, "epochs=10"), train(path, words, "epochs=4")
    rest = resume_run(part.folder, ["epochs=10"])
    np.testing.assert_array_equal(rest.history["objective"], whole.history["objective"])
    assert rest.objective == whole.objective


def test_a_landscape_is_of_the_objective_that_is_reported(tmp_path):
    path = write(tmp_path / "data.csv", 3e5, 1e6)
    result = train(path, "optimizer=adam lr=0.05 variant=batch", "epochs=30")
    drawn = landscape(result.folder, rows=ROWS)
    assert np.nanmin(drawn.values) < 1.2 * result.objective
    assert np.nanmax(drawn.values) > 0.5 * result.history["objective"][0]


def test_advice_of_smaller_rates_is_in_the_units_of_the_target(tmp_path):
    path = write(tmp_path / "data.csv", 3e5, 1e6)
    result = train(path, "model=mlp model.hidden=[5] lr=5")
    assert result.status == "diverged"
    start = result.history["objective"][0]
    assert f"lowered the objective from {start:.4g} to" in result.reason


def test_the_search_for_a_rate_tells_values_in_the_units_of_the_target(tmp_path):
    path = write(tmp_path / "data.csv", 3e5, 1e6)
    result = train(path, "model=mlp model.hidden=[5]", "lr=auto", "epochs=8")
    told = float(result.lr_reason.split("the lowest validation loss (")[1].split(")")[0])
    assert told == pytest.approx(result.validation_loss, rel=0.5)
    test, _ = gd.lr_range(
        "data=table",
        f"data.path={path}",
        "data.target=y",
        "optimizer=adam",
        "epochs=5",
        folder=tmp_path / "range",
    )
    assert test.start > 1e9


class Own(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, x):
        return self.layer(x).exp()


class OwnLoss(gd.MSE):
    def __call__(self, outputs, targets):
        return ((outputs - targets).square() + targets).mean()


@pytest.mark.parametrize(
    ("model", "loss"), [(Own(), gd.MSE()), (gd.MLP(3), OwnLoss()), (gd.MLP(3), gd.Poisson())]
)
def test_components_that_may_need_the_target_as_it_is_get_it(model, loss):
    x, y, *_ = columns()
    data = gd.Dataset.from_arrays(x, y)
    optimizer = gd.GD(model.parameters(), lr=0.1)
    on = {"standardize_target": True}
    assert fit_target_scale(on, data, loss, model, optimizer, None, None) == (data, loss)
    scaled, _ = fit_target_scale(on, data, gd.MSE(), gd.MLP(3), optimizer, None, None)
    assert scaled is with_standard_targets(data, centre=True)
    off = {"standardize_target": False}
    assert fit_target_scale(off, data, gd.MSE(), gd.MLP(3), optimizer, None, None)[0] is data


def test_targets_that_do_not_vary_stay():
    data = gd.Dataset.from_arrays(np.random.default_rng(0).normal(size=(9, 2)), np.full(9, 3e7))
    assert with_standard_targets(data, centre=True) is data


def test_declared_degrees_are_true():
    draw = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(2, 30, 1, generator=draw, dtype=torch.float64)
    for name in gd.LOSSES:
        if (degree := gd.LOSSES.get(name).degree) is not None:
            loss = gd.LOSSES.build(name)
            scaled = loss.scaled(7.0)
            value = scaled(outputs / 7, targets / 7).item() * 7**degree / scaled.factor
            assert value == pytest.approx(loss(outputs, targets).item(), rel=1e-12)
            again = scaled.scaled(2.0)
            value = again(outputs / 14, targets / 14).item() * 14**degree / again.factor
            assert value == pytest.approx(loss(outputs, targets).item(), rel=1e-12)
    for name in gd.METRICS:
        if (degree := gd.METRICS.get(name).degree) is not None:
            metric = gd.METRICS.build(name)
            assert metric(7 * outputs, 7 * targets) == pytest.approx(
                7**degree * metric(outputs, targets)
            )
