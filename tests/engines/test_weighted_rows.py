"""Weight 0 is a row removed, and weight 2 a row twice: on every engine, in all that is measured."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from thinned import thinned
from weighted import (
    ROWS,
    TWO_CLASSES,
    WEIGHTS,
    assert_equal_results,
    features,
    pair_of_data,
    targets,
    train,
)

import gdframe as gd

LOSSES = sorted(gd.LOSSES)


ENGINES = ["eager", "linear", "gram", "compiled"]


RULES = [gd.GD, gd.Momentum, gd.Adam]


CASES = [
    (loss, engine, rule)
    for loss in LOSSES
    for engine in ENGINES
    for rule in RULES
    if engine != "gram" or loss == "mse"
]


@pytest.mark.parametrize(("loss", "engine", "rule"), thinned(CASES, 40))
def test_weights_stand_for_repeated_rows(loss, engine, rule):
    runs = [train(data, gd.LOSSES.build(loss), engine, rule) for data in pair_of_data(loss)]
    assert runs[0].engine == engine
    assert_equal_results(*runs, 1e-10)


@pytest.mark.parametrize("engine", thinned(["eager", "compiled"], 2))
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


@pytest.mark.parametrize(("loss", "words"), thinned(product(LOSSES, SETTINGS), 29))
def test_all_that_a_run_says_is_that_of_repeated_rows(run, loss, words):
    common = [*words, "variant=batch", "data.validation=0", "epochs=25"]
    weighted, repeated = (run(loss, *common, kind=kind) for kind in ("weighted", "repeated"))
    if weighted.status != "diverged":
        assert_equal_results(weighted, repeated, 1e-8)
    if loss not in ("hinge", "squared_hinge"):  # separable: rounding decides what is known of it
        assert weighted.reason == repeated.reason
    assert weighted.lr == repeated.lr
    pairs = zip(weighted.coefficients or [], repeated.coefficients or [], strict=True)
    for actual, expected in pairs:
        assert actual.value == pytest.approx(expected.value, rel=1e-8, abs=1e-10)


BATCHES = product(["linear", "compiled"], ["sgd", "minibatch"], ["mse", "cross_entropy", "hinge"])


@pytest.mark.parametrize(("engine", "variant", "loss"), thinned(BATCHES, 11))
def test_engines_agree_on_batches_of_weighted_rows(run, engine, variant, loss):
    words = ["data.validation=0.3", "epochs=4", "lr=0.02", f"variant={variant}"]
    words += ["batch_size=7"] if variant == "minibatch" else []
    plain, other = (run(loss, *words, f"engine={name}") for name in ("eager", engine))
    assert other.engine == engine
    assert_equal_results(other, plain, 1e-9)


@pytest.mark.parametrize("loss", thinned(["cross_entropy", "mse", "hinge"], 3))
@pytest.mark.parametrize("variant", thinned(["sgd", "batch"], 2))
@pytest.mark.slow
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
