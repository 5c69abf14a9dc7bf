"""Advice on data before training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gdframe as gd
from gdframe.diagnostics.preflight import advice_on_data
from gdframe.objective import Objective


def advice_on(columns, penalty=None, dtype=torch.float32):
    x = np.column_stack(columns)
    data = gd.Dataset.from_arrays(x, x[:, 0], dtype=dtype)
    model = gd.Linear(data.features).to(dtype)
    return advice_on_data(data, Objective(model, gd.MSE(), penalty))


def columns(count, rows=60):
    return np.random.default_rng(0).normal(size=(count, rows))


DTYPES = [torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_only_exact_dependence_makes_the_minimum_not_unique(dtype):
    a, b, noise = columns(3)
    for dependent, words in (
        ([a, b, a + b, a * b], "columns 'x0', 'x1', 'x2' are linearly dependent: the minimum"),
        ([a, b, -3 * a + 7], "columns 'x0' and 'x2' are collinear: the minimum is not unique"),
        ([a, b, a, b], "are collinear (and 1 more pairs): the minimum is not unique"),
    ):
        (advice,) = advice_on(dependent, dtype=dtype)
        assert words in advice
    for nearly, words in (
        ([a, b, a + b + 1e-5 * noise], "are nearly linearly dependent: their weights are hardly"),
        ([a, b, a + 1e-3 * noise], "columns 'x0' and 'x2' are nearly collinear: their weights"),
        ([a, b, 1e3 * a + 0.1 * noise], "nearly collinear"),
    ):
        advice = advice_on(nearly, dtype=dtype)[-1]
        assert words in advice
        assert "unique" not in advice


class Absolute(gd.L2):
    """Inherits a curvature that does not describe its value."""

    def value(self, weights):
        return self.strength * sum(w.abs().sum() for w in weights)


@pytest.mark.parametrize(
    ("penalty", "is_unique"),
    [
        (gd.L2(strength=0.1), True),
        (gd.ElasticNet(strength=0.1, ratio=0.5), True),
        (gd.L2(strength=0.0), False),
        (gd.ElasticNet(strength=0.1, ratio=1.0), False),
        (gd.L1(strength=0.1), False),
        (Absolute(strength=0.1), False),
        (None, False),
    ],
)
def test_a_penalty_with_curvature_makes_the_minimum_unique(penalty, is_unique):
    a, b = columns(2)
    for dependent in ([a, b, a], [a, b, a + b]):
        assert (advice_on(dependent, penalty) == []) is is_unique


def test_advice_on_columns_does_not_name_a_penalty_that_is_there():
    a, b = columns(2)
    (advice,) = advice_on([a, b, a], gd.L2(strength=0.0))
    assert advice.endswith("drop one of them, or raise penalty.strength above 0")
    (advice,) = advice_on([a, b, a], gd.L1(strength=0.1))
    assert advice.endswith("drop one of them, or use penalty=l2")


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("copies", [1, 2])
def test_categories_of_a_column_are_not_the_users_fault(tmp_path, count, copies):
    random = np.random.default_rng(count)
    words = [f"k{random.integers(count)}" for _ in range(80)]
    lines = [f"{','.join([w] * copies)},{x},{2 * x}" for w, x in zip(words, random.normal(size=80))]
    path = tmp_path / "t.csv"
    path.write_text("\n".join([",".join([*"cd"[:copies], "x", "y"]), *lines]))
    data = gd.Table(path=str(path), target="y").load()
    advice = advice_on_data(data, Objective(gd.Linear(data.features), gd.MSE()))
    assert bool(advice) is (copies == 2)  # the user's two equal columns are named


@pytest.mark.parametrize("deviation", [1e-9, 1.0, 1e6])
def test_a_target_far_from_zero_is_named(deviation):
    x, y = columns(2)
    for ratio in (0.0, 5.0, 50.0, 1e5):
        data = gd.Dataset.from_arrays(x[:, None], deviation * (y + ratio), dtype=torch.float32)
        advice = advice_on_data(data, Objective(gd.Linear(1), gd.MSE()))
        assert len(advice) == (ratio >= 50)
        assert ("dtype=float64" in "".join(advice)) is (ratio == 1e5)


def test_good_data_get_no_advice():
    for source in (gd.Diabetes(), gd.Digits(), gd.Iris()):
        data = source.load()
        objective = Objective(gd.Linear(data.features, 3), gd.CrossEntropy())
        assert advice_on_data(data, objective) == []
    assert advice_on_data(gd.Dataset.none(), Objective(gd.Quadratic())) == []


def test_a_sweep_advises_on_columns_also_after_a_run_with_a_unique_minimum(
    tmp_path, caplog
):  # fmt: skip
    a, b = columns(2)
    lines = [f"{x},{y},{x},{x + y}" for x, y in zip(a, b, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["first,second,again,y", *lines]))
    table = ("data=table", f"data.path={tmp_path / 't.csv'}", "data.target=y", "epochs=1")
    gd.sweep(*table, "penalty=l2", "lr=0.1,0.2", folder=tmp_path / "unique")
    assert "collinear" not in caplog.text
    gd.sweep(*table, "penalty=l2,none", "lr=0.1,0.2", folder=tmp_path / "both")
    assert caplog.text.count("'first' and 'again' are collinear") == 1
