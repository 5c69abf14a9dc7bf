"""Weights of classes: those of their rows in the loss, and none in the metrics."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from thinned import thinned
from torch import nn
from weighted import ROWS, TWO_CLASSES, WEIGHTS, features, targets, train

import gdframe as gd
from gdframe.errors import UserError
from gdframe.losses.weighting import weighting_of
from gdframe.objective import Objective

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
    actual = objective.mean_loss(outputs, objective.encode(data.train).targets)
    weight = torch.tensor([2.0, 1.0, 0.25], dtype=torch.float64)
    expected = nn.functional.cross_entropy(outputs, data.train.targets, weight=weight)
    assert actual.item() == pytest.approx(expected.item(), rel=1e-12)


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
def test_a_sweep_over_weights_of_classes_gives_what_each_run_gives_alone(engine, tmp_path):
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


@pytest.mark.parametrize("class_weight", ["even", 5, [1, 2], {}, {0: 0}, {0: "a"}, {0: -1}, {7: 1}])
def test_weights_of_classes_that_are_none_are_refused(class_weight):
    data = gd.Dataset.from_arrays(features(), targets("cross_entropy"), dtype=torch.float64)
    with pytest.raises(UserError, match="class_weight"):
        train(data, gd.CrossEntropy(class_weight=class_weight), "eager")


@pytest.mark.parametrize(("labels", "chosen"), [
    ([0, 1], {1.0: 5}), ([1.5, 2.5], {"1.50": 5}), (["yes", "no"], {"Yes": 5}),
    ([True, False], {"true": 5}), ([0, 1], {1: np.float32(5)}), ([0, 1], {1: np.int64(5)}),
])  # fmt: skip
def test_labels_are_named_in_any_spelling(labels, chosen):
    y = np.array(labels)[np.arange(ROWS) % 2]
    data = gd.Dataset.from_arrays(features(), y, task="classification")
    weighting = weighting_of(gd.CrossEntropy(class_weight=chosen), data)
    assert sorted(weighting.of_classes.tolist()) == [1.0, 5.0]
