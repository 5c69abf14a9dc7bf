"""Weight 0 is a row removed, and weight 2 a row twice: on every engine, in all that is measured."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from thinned import thinned
from torch import nn
from weighted import ROWS, WEIGHTS, assert_equal_results, features, pair_of_data, targets

import gdframe as gd
from gdframe.data.rows import relative
from gdframe.diagnostics.least_squares import least_squares
from gdframe.diagnostics.linear_rule import LinearRule
from gdframe.errors import UserError
from gdframe.losses.weighting import weighting_of
from gdframe.objective import Objective

LOSSES = sorted(gd.LOSSES)
ENGINES = ["eager", "linear", "gram", "compiled"]
RULES = [gd.GD, gd.Momentum, gd.Adam]
TWO_CLASSES = ["binary_cross_entropy", "hinge", "squared_hinge"]


def train(
    data: gd.Dataset, loss: gd.Loss, engine: str, rule: Any = gd.Momentum, model: Any = gd.Linear
) -> gd.Result:
    net = model(data.features, loss.outputs(data)).double()
    gd.initialize(net, gd.Normal(std=0.3), seed=0)
    trainer = gd.Trainer(
        net, loss, rule(net.parameters(), lr=0.02), gd.FullBatch(data.rows), data, epochs=12,
        engine=engine, penalty=gd.L2(strength=0.01),
    )  # fmt: skip
    return trainer.fit()


CASES = [
    (loss, engine, rule)
    for loss in LOSSES
    for engine in ENGINES
    for rule in RULES
    if engine != "gram" or loss == "mse"
]


@pytest.mark.parametrize(("loss", "engine", "rule"), thinned(CASES, 13))
def test_weights_stand_for_repeated_rows(loss, engine, rule):
    runs = [train(data, gd.LOSSES.build(loss), engine, rule) for data in pair_of_data(loss)]
    assert runs[0].engine == engine
    assert_equal_results(*runs, 1e-10)


@pytest.mark.parametrize("engine", ["eager", "compiled"])
def test_weights_stand_for_repeated_rows_in_a_network(engine):
    def network(inputs: int, outputs: int) -> gd.MLP:
        return gd.MLP(inputs, outputs, hidden=[5], activation="tanh")

    pair = pair_of_data("cross_entropy")
    runs = [train(data, gd.CrossEntropy(), engine, model=network) for data in pair]
    assert_equal_results(*runs, 1e-9)


Run = Callable[..., gd.Result]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """Train on a table with a column of weights, or with repeated rows."""
    folder = tmp_path_factory.mktemp("tables")
    kinds = np.array(["red", "green", "blue"])[np.random.default_rng(9).integers(0, 3, ROWS)]
    for loss in LOSSES:
        rows = zip(features(), kinds, targets(loss), strict=True)
        texts = [",".join(map(str, [*x, kind, y])) for x, kind, y in rows]
        pairs = list(zip(texts, WEIGHTS, strict=True))
        weighted = ["a,b,c,kind,y,w", *(f"{text},{weight}" for text, weight in pairs)]
        repeated = ["a,b,c,kind,y", *(text for text, weight in pairs for _ in range(weight))]
        (folder / f"{loss}_weighted.csv").write_text("\n".join(weighted))
        (folder / f"{loss}_repeated.csv").write_text("\n".join(repeated))

    def train(loss: str, *words: str, kind: str = "weighted") -> gd.Result:
        task = "classification" if loss in ("cross_entropy", *TWO_CLASSES) else "regression"
        table = [f"data.path={folder / f'{loss}_{kind}.csv'}", "data.target=y", f"data.task={task}"]
        table += ["data.weights=w"] if kind == "weighted" else []
        return gd.train("data=table", *table, f"loss={loss}", "dtype=float64", *words)

    return train


SETTINGS = [
    ["lr=auto"],
    ["lr=0.1", "optimizer=adam", "engine=eager"],
    ["lr=0.1", "penalty=l2", "penalty.strength=0.01", "stopping.tolerance=1e-4"],
    ["lr=0.05", "model=mlp", "model.hidden=[8]", "initializer=kaiming"],
    ["lr=50"],
]


@pytest.mark.parametrize(("loss", "words"), thinned(product(LOSSES, SETTINGS), 7))
def test_all_that_a_run_says_is_that_of_repeated_rows(run, loss, words):
    common = [*words, "variant=batch", "data.validation=0", "epochs=25"]
    weighted, repeated = (run(loss, *common, kind=kind) for kind in ("weighted", "repeated"))
    if weighted.status != "diverged":
        assert_equal_results(weighted, repeated, 1e-8)
    if loss not in ("hinge", "squared_hinge"):  # separable: rounding decides what is known of it
        assert weighted.reason == repeated.reason
    assert weighted.lr == repeated.lr
    for ours, theirs in zip(weighted.coefficients or [], repeated.coefficients or [], strict=True):
        assert ours.value == pytest.approx(theirs.value, rel=1e-8, abs=1e-10)


BATCHES = product(["linear", "compiled"], ["sgd", "minibatch"], ["mse", "cross_entropy", "hinge"])


@pytest.mark.parametrize(("engine", "variant", "loss"), thinned(BATCHES, 5))
def test_engines_agree_on_batches_of_weighted_rows(run, engine, variant, loss):
    words = ["data.validation=0.3", "epochs=4", "lr=0.02", f"variant={variant}"]
    words += ["batch_size=7"] if variant == "minibatch" else []
    plain, other = (run(loss, *words, f"engine={name}") for name in ("eager", engine))
    assert other.engine == engine
    assert_equal_results(other, plain, 1e-9)


CLASSES = product(["eager", "linear", "compiled"], ["cross_entropy", *TWO_CLASSES])


@pytest.mark.parametrize(("engine", "loss"), thinned(CLASSES, 3))
def test_weights_of_classes_are_weights_of_rows_but_in_metrics(loss, engine):
    x, y = features(), targets(loss)
    chosen = {label: 0.5 + label for label in np.unique(y).tolist()}
    rows = np.array([chosen[label] for label in y])
    plain = gd.Dataset.from_arrays(x, y, dtype=torch.float64)
    by_row = gd.Dataset.from_arrays(x, y, weights=rows, dtype=torch.float64)
    of_classes = train(plain, gd.LOSSES.build(loss, class_weight=chosen), engine)
    of_rows = train(by_row, gd.LOSSES.build(loss), engine)
    assert of_classes.train_loss == pytest.approx(of_rows.train_loss, rel=1e-12)
    assert of_classes.gradient_norm == pytest.approx(of_rows.gradient_norm, rel=1e-10)
    decided = gd.LOSSES.build(loss).predict(of_classes.module(plain.train.features))
    right = (decided == plain.train.targets).double()
    assert of_classes.metrics["train"]["accuracy"] == pytest.approx(float(right.mean()))
    share = float(right @ torch.from_numpy(rows)) / rows.sum()
    assert of_rows.metrics["train"]["accuracy"] == pytest.approx(share)


def test_weights_of_classes_are_those_of_pytorch():
    x, y = features(), targets("cross_entropy")
    data = gd.Dataset.from_arrays(x, y, dtype=torch.float64)
    loss, outputs = gd.CrossEntropy(class_weight={0: 2.0, 2: 0.25}), torch.randn(ROWS, 3).double()
    objective = Objective(gd.Linear(3, 3).double(), loss, weighting=weighting_of(loss, data))
    ours = objective.mean_loss(outputs, objective.encode(data.train).targets)
    weight = torch.tensor([2.0, 1.0, 0.25], dtype=torch.float64)
    theirs = nn.functional.cross_entropy(outputs, data.train.targets, weight=weight)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)


def test_balanced_classes_have_one_sum_of_weights():
    x, y = features(), targets("cross_entropy")
    for weights in (None, WEIGHTS):
        data = gd.Dataset.from_arrays(x, y, weights=weights, dtype=torch.float64)
        loss = gd.CrossEntropy(class_weight="balanced")
        weighting = weighting_of(loss, data)
        labels, sizes = weighting.detach(weighting.attach(data.train, data.train.targets).targets)
        sums = torch.bincount(labels, sizes)
        assert sums.tolist() == pytest.approx([len(labels) / 3] * 3)


@pytest.mark.parametrize("engine", thinned(["linear", "eager", "compiled"], 3))
def test_a_sweep_over_weights_of_classes_gives_what_each_run_gives_alone(run, engine, tmp_path):
    path = tmp_path / "t.csv"
    rows = zip(features(), targets("hinge"), strict=True)
    path.write_text("\n".join(["a,b,c,y", *(",".join(map(str, [*x, y])) for x, y in rows)]))
    table = ["data=table", f"data.path={path}", "data.target=y", "loss=hinge", "lr=0.05"]
    words = [*table, "epochs=3", f"engine={engine}", "variant=minibatch"]
    chosen = ["null", "balanced", "{0: 3}", "{0: 5}", "{1: 3}"]
    swept = gd.sweep(*words, f"loss.class_weight={','.join(chosen)}", folder=tmp_path / "sweep")
    for row, text in zip(swept.runs, chosen, strict=True):
        alone = gd.train(*words, f"loss.class_weight={text}")
        assert row["objective"] == pytest.approx(alone.objective, rel=1e-5)


@pytest.mark.parametrize("loss", thinned(["cross_entropy", "mse", "hinge"], 3))
@pytest.mark.parametrize("variant", ["sgd", "batch"])
def test_many_runs_side_by_side_give_what_each_gives_alone(tmp_path, loss, variant):
    path, random = tmp_path / "t.csv", np.random.default_rng(0)
    rows = zip(features(), targets(loss), random.integers(0, 5, ROWS), strict=True)
    path.write_text("\n".join(["a,b,c,y,w", *(",".join(map(str, [*x, *r])) for x, *r in rows)]))
    words = ["data=table", f"data.path={path}", "data.target=y", "data.weights=w", f"loss={loss}"]
    words += [f"variant={variant}", "epochs=3", "engine=linear", "dtype=float64"]
    words += ["data.task=regression"] if loss == "mse" else ["data.task=classification"]
    rates = [f"{0.002 * (k + 1):.3g}" for k in range(20)]
    swept = gd.sweep(*words, f"lr={','.join(rates)}", folder=tmp_path / "sweep")
    assert {row["engine"] for row in swept.runs} == {"linear"}
    for index in (0, 7, 19):
        alone = gd.train(*words, f"lr={rates[index]}")
        assert swept.runs[index]["objective"] == pytest.approx(alone.objective, rel=1e-10)


def test_stability_of_weighted_rows_is_that_of_scaled_rows():
    data, _ = pair_of_data("mse", standardize=False)
    model, loss = gd.Linear(3, 1, bias=False).double(), gd.MSE()
    found = least_squares(Objective(model, loss, weighting=weighting_of(loss, data)), data)
    roots = relative(data.train.weights).sqrt()[:, None]
    scaled = gd.Dataset.from_arrays(
        roots * data.train.features, roots * data.train.targets, dtype=torch.float64
    )
    expected = least_squares(Objective(model, loss), scaled)
    optimizer = gd.Momentum(model.parameters(), lr=0.1)
    rule = LinearRule.of(gd.Problem(Objective(model, loss), optimizer, gd.Constant(), 0))
    assert found.noisy_limit(rule, 4) == pytest.approx(expected.noisy_limit(rule, 4), rel=1e-9)
    np.testing.assert_allclose(found.eigenvalues, expected.eigenvalues, rtol=1e-9)
    assert found.minimum == pytest.approx(expected.minimum, rel=1e-9)


class Squares(gd.Loss):
    """Without ``by_row``: each row is tried alone."""

    def __call__(self, outputs, targets):
        return (outputs - targets).square().mean()


class Sum(Squares):
    def __call__(self, outputs, targets):
        return (outputs - targets).square().sum()


class Spread(Squares):
    def __call__(self, outputs, targets):
        return (outputs - targets).std()


class Unweighted(gd.Metric):
    task = "regression"

    def __call__(self, predicted, targets):
        return (predicted - targets).abs().max()


def test_a_loss_of_others_is_weighted_row_by_row():
    data, _ = pair_of_data("mse")
    ours, theirs = (train(data, loss, "eager") for loss in (Squares(), gd.MSE()))
    assert ours.objective == pytest.approx(theirs.objective, rel=1e-12)


@pytest.mark.parametrize("loss", [Sum, Spread])
def test_a_loss_that_is_no_mean_over_rows_has_no_weights(loss):
    data, plain = pair_of_data("mse")
    with pytest.raises(UserError, match="mean over rows"):
        train(data, loss(), "eager")
    assert train(plain, loss(), "eager").steps > 0


def test_a_metric_that_does_not_count_weights_is_refused():
    for data, is_refused in zip(pair_of_data("mse"), (True, False), strict=True):
        model = gd.Linear(3).double()
        parts = model, gd.MSE(), gd.GD(model.parameters(), lr=0.1), gd.FullBatch(data.rows), data
        if is_refused:
            with pytest.raises(UserError, match="takes_weights"):
                gd.Trainer(*parts, metrics=[Unweighted()])
        else:
            gd.Trainer(*parts, metrics=[Unweighted()], epochs=2).fit()


@pytest.mark.parametrize("weights", [
    [-1.0] * ROWS, [np.nan] * ROWS, [np.inf] * ROWS, [0.0] * ROWS, [1.0] * (ROWS - 1),
    [[1.0]] * ROWS, ["a"] * ROWS, 1.0, [None] * ROWS,
])  # fmt: skip
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(UserError, match="weight"):
        gd.Dataset.from_arrays(features(), targets("mse"), weights=weights)


@pytest.mark.parametrize("class_weight", ["even", 5, [1, 2], {}, {0: 0}, {0: "a"}, {0: -1}, {7: 1}])
def test_weights_of_classes_that_are_none_are_refused(class_weight):
    data = gd.Dataset.from_arrays(features(), targets("cross_entropy"), dtype=torch.float64)
    with pytest.raises(UserError, match="class_weight"):
        train(data, gd.CrossEntropy(class_weight=class_weight), "eager")


class FlatTargets(gd.Loss):
    """Takes numeric targets without a second dimension."""

    def __call__(self, outputs, targets):
        return (outputs[:, 0] - targets).square().mean()

    def encode(self, targets, dtype):
        return targets[:, 0].to(dtype)


def test_flat_numbers_are_no_class_indices():
    data, _ = pair_of_data("mse")
    ours, theirs = (train(data, loss, "eager") for loss in (FlatTargets(), gd.MSE()))
    assert ours.objective == pytest.approx(theirs.objective, rel=1e-12)
    assert ours.metrics["train"] == pytest.approx(theirs.metrics["train"], rel=1e-12)


@pytest.mark.parametrize("scale", [1e-300, 1e300, 1e308])
def test_the_size_of_all_weights_does_not_matter(scale):
    x, y, w = features(), targets("cross_entropy"), np.maximum(WEIGHTS, 1) / 3.0
    results = [
        train(
            gd.Dataset.from_arrays(x, y, weights=size, dtype=torch.float64, standardize=True),
            gd.CrossEntropy(class_weight="balanced"), "eager",
        )
        for size in (w, w * scale)
    ]  # fmt: skip
    assert_equal_results(*results, 1e-9)


def test_a_class_of_weightless_rows_is_none(run, tmp_path):
    x, y = features(), targets("cross_entropy")
    weights = np.where(y == 1, 0, 1 + WEIGHTS)
    data = gd.Dataset.from_arrays(x, y, weights=weights)
    assert data.classes == (0, 2)
    labels = np.array(["low", "middle", "high"])[y]
    rows = zip(x, labels, weights, strict=True)
    lines = ["a,b,c,y,w", *(",".join(map(str, [*r, label, w])) for r, label, w in rows)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    table = ["data=table", f"data.path={tmp_path / 't.csv'}", "data.target=y", "data.weights=w"]
    result = gd.train(*table, "lr=0.1", "epochs=2", folder=tmp_path / "run")
    assert [c["label"] for c in result.data["classes"]] == ["high", "low"]
    assert result.loss == "binary_cross_entropy"


@pytest.mark.parametrize("missing", ["mean", "error"])
def test_weightless_rows_and_rows_without_a_target_need_nothing(tmp_path, missing):
    lines = ["a,y,w", *(f"{i},{2 * i + 0.5},{1 + i % 3}" for i in range(40)), "3,,0", "4,,0"]
    lines += [] if missing == "error" else ["5,,", "6,,"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    table = ["data=table", f"data.path={tmp_path / 't.csv'}", "data.target=y", "data.weights=w"]
    words = [f"data.missing={missing}", "lr=0.1", "epochs=2", "data.validation=0"]
    result = gd.train(*table, *words, folder=tmp_path / "run")
    assert result.data["rows"] == 40


def test_files_whose_weights_are_of_no_use(gdframe, tmp_path):
    rows = [f"{i},{2 * i + 0.5}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["a,y,w", *(f"{row},1" for row in rows)]))
    (tmp_path / "zero.csv").write_text("\n".join(["a,y,w", *(f"{row},0" for row in rows), "3,,5"]))
    (tmp_path / "none.csv").write_text("\n".join(["a,y,w", *(f"{row}," for row in rows)]))
    table = ["data=table", "data.path=t.csv", "data.target=y", "data.weights=w", "lr=0.1"]
    done = gdframe(*table, "epochs=2", "data.test=zero.csv")
    assert (done.code, list(tmp_path.glob("outputs/*/*"))) == (2, [])
    assert "every weight of 40 rows is 0" in done.err
    assert gdframe(*table, "epochs=2", "hydra.run.dir=run").code == 0
    for name in ("zero", "none"):
        done = gdframe("predict", "run", f"{name}.csv")
        assert done.code == 0
        assert "no scores: data.weights=w" in done.err


@pytest.mark.parametrize(("labels", "chosen"), [
    ([0, 1], {1.0: 5}), ([1.5, 2.5], {"1.50": 5}), (["yes", "no"], {"Yes": 5}),
    ([True, False], {"true": 5}), ([0, 1], {1: np.float32(5)}), ([0, 1], {1: np.int64(5)}),
])  # fmt: skip
def test_labels_are_named_in_any_spelling(labels, chosen):
    y = np.array(labels)[np.arange(ROWS) % 2]
    data = gd.Dataset.from_arrays(features(), y, task="classification")
    weighting = weighting_of(gd.CrossEntropy(class_weight=chosen), data)
    assert sorted(weighting.of_classes.tolist()) == [1.0, 5.0]
