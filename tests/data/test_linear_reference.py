"""Default runs predict held-out rows as well as a linear model that is fitted exactly.

python -m pytest -m slow -n 0 -s tests/data/test_linear_reference.py
"""

from __future__ import annotations

import csv

import numpy as np
import pytest
from sklearn.datasets import (
    make_classification,
    make_friedman1,
    make_friedman2,
    make_friedman3,
    make_regression,
)
from sklearn.linear_model import LinearRegression, LogisticRegression

import gdframe as gd

NEAR = 0.02
"""Largest distance of r2 or accuracy below that of the exact fit."""

ALLOWED = 0.95
"""Share of the tasks that must come so near."""

SIZES = [(60, 3, 1.0), (200, 10, 5.0), (1000, 20, 10.0), (3000, 5, 1.0)]


def tables():
    """Yield names, features (rows, features) and targets (rows,) of tables as people have them."""
    draw = np.random.default_rng(0)
    for i, (rows, columns, noise) in enumerate(SIZES):
        x, y = make_regression(rows, columns, noise=noise, random_state=i)
        x = x * np.logspace(-3, 3, columns) + np.arange(columns) * 100
        yield f"scales {i}", x, y
        yield f"prices {i}", x, np.round(1e5 + 3e4 * y / y.std(), 2)
        x, c = make_classification(
            rows, max(columns, 4), n_informative=3, n_redundant=1, flip_y=0.1, random_state=i
        )
        yield f"classes {i}", x, np.array(["no", "yes"])[c]
        x, c = make_classification(
            rows, max(columns, 6), n_informative=4, n_redundant=1, n_classes=3,
            weights=[0.8, 0.15, 0.05], random_state=i,
        )  # fmt: skip
        yield f"rare classes {i}", x * 100, np.array(["a", "b", "c"])[c]
    for make, noise in ((make_friedman1, 0.5), (make_friedman2, 0.5), (make_friedman3, 0.05)):
        yield make.__name__, *make(300, noise=noise, random_state=0)
    x = draw.lognormal(size=(400, 5))
    yield "skewed features", x, x @ [1, 2, 3, 0, 0] + draw.normal(size=400)
    yield "skewed target", x, np.exp(0.3 * np.log(x).sum(1) + 0.2 * draw.normal(size=400))
    x = draw.normal(size=(500, 8))
    x[:, 1] = x[:, 0] + 1e-3 * x[:, 1]
    yield "collinear", x, x[:, 0] * 3 + draw.normal(size=500)
    yield "tiny target", x, 1e-11 * x[:, 2] + 1e-12 * draw.normal(size=500)
    yield "far target", x, 1.6e9 + x[:, 2]
    x = draw.integers(0, 2, size=(800, 12)).astype(float)
    yield "zeros and ones", x, x @ draw.normal(size=12) + 0.5 * draw.normal(size=800)
    x = draw.normal(size=(150, 60))
    yield "wide", x, x[:, :5].sum(1) + draw.normal(size=150)
    x = draw.normal(size=(5000, 30))
    yield "large", x, (x[:, 0] + x[:, 1] * x[:, 2] + draw.normal(size=5000) > 0).astype(int)


def scores(source, words):
    """Return the held-out score of a default run, and of a model that is fitted exactly."""
    data = source.load()
    x, y, held_x, held_y = (t.double().numpy() for t in data.tensors)
    result = gd.train(*words, "logging.tensorboard=false")
    metrics = result.metrics["validation"]
    if data.task == "regression":
        return metrics["r2"], LinearRegression().fit(x, y).score(held_x, held_y)
    exact = LogisticRegression(C=1e4, max_iter=5000).fit(x, y)
    return metrics["accuracy"], exact.score(held_x, held_y)


@pytest.mark.slow
def test_default_runs_come_near_the_exact_fit(tmp_path):
    found = {}
    bundled = (gd.Diabetes, gd.Iris, gd.Wine, gd.BreastCancer, gd.Digits)
    for kind in bundled:
        name = gd.DATASETS.name_of(kind())
        found[name] = scores(kind(), [f"data={name}"])
    for name, x, y in tables():
        path = tmp_path / f"{name.replace(' ', '_')}.csv"
        with path.open("w", newline="") as file:
            rows = ([*map(repr, map(float, row)), target] for row, target in zip(x, y, strict=True))
            csv.writer(file).writerows([[*(f"x{i}" for i in range(x.shape[1])), "y"], *rows])
        words = ["data=table", f"data.path={path}", "data.target=y"]
        found[name] = scores(gd.Table(path=str(path), target="y"), words)
    near = {name for name, (ours, exact) in found.items() if ours >= exact - NEAR}
    for name, (ours, exact) in found.items():
        print(f"{name:18} {ours:8.4f} {exact:8.4f}{'' if name in near else '  <'}")
    print(f"{len(near)} of {len(found)} within {NEAR}")
    assert len(near) >= ALLOWED * len(found)
