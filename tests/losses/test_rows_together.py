"""Losses that are no mean over rows, and models that make of a row what depends on others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from activations import Activity, Remembering
from torch import nn

import gdframe as gd
from gdframe.engines.stacked_engine import Stacked
from gdframe.errors import UserError
from gdframe.objective import Objective

ROWS = 70_000  # more than are evaluated at a time


class Root(gd.Loss):
    def __call__(self, outputs, targets):
        return (outputs - targets).square().mean().sqrt()


class Correlation(gd.Loss):
    def __call__(self, outputs, targets):
        z, y = outputs - outputs.mean(), targets - targets.mean()
        return 1 - (z * y).mean() / (z.square().mean() * y.square().mean() + 1e-12).sqrt()


class Sum(gd.Loss):
    def __call__(self, outputs, targets):
        return (outputs - targets).square().sum() / 1000


class Capped(gd.Loss):
    """Errors up to three times their mean."""

    def __call__(self, outputs, targets):
        errors = (outputs - targets).square()
        return torch.minimum(errors, 3 * errors.mean().detach()).mean()


class Trimmed(gd.Loss):
    def __call__(self, outputs, targets):
        errors = (outputs - targets).square().flatten()
        return errors.topk(int(0.9 * len(errors)), largest=False).values.mean()


class Limited(gd.Loss):
    """Its gradient by outputs is divided by its norm over the batch."""

    def __call__(self, outputs, targets):
        if outputs.requires_grad:
            outputs = outputs.clone()
            outputs.register_hook(lambda slope: slope / slope.norm())
        return (outputs - targets).square().mean()


class Rare(gd.Loss):
    """Divides by the sum of the weights, which are large where a target is exactly 7."""

    def __call__(self, outputs, targets):
        weights = torch.where(targets == 7, 1e4, 1.0)
        return (weights * (outputs - targets).square()).sum() / weights.sum()


class Weighted(gd.ClassificationLoss):
    """Divides by the sum of the weights in a batch."""

    def __call__(self, outputs, targets):
        weights = torch.arange(1.0, 1 + outputs.shape[1], dtype=outputs.dtype)
        return F.cross_entropy(outputs, targets, weight=weights)


class Own(gd.Loss):
    """A mean over rows."""

    def __call__(self, outputs, targets):
        return (outputs - targets).abs().pow(1.5).mean()


class OwnClasses(gd.ClassificationLoss):
    def __call__(self, outputs, targets):
        return F.cross_entropy(outputs, targets, label_smoothing=0.1)


def normalized(features):
    norm = nn.BatchNorm1d(4, track_running_stats=False)
    return nn.Sequential(nn.Linear(features, 4), norm, nn.Tanh(), nn.Linear(4, 1))


class Attention(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.linear = nn.Linear(features, 1)

    def forward(self, x):
        return self.linear(x * torch.softmax(self.linear(x), 0) * len(x))


class Centred(nn.Module):
    """Subtracts their mean from the outputs of few rows."""

    def __init__(self, features):
        super().__init__()
        self.linear = nn.Linear(features, 1)

    def forward(self, x):
        outputs, is_rare = self.linear(x), x[:, :1] == 7
        mean = (outputs * is_rare).sum() / is_rare.sum().clamp(min=1)
        return torch.where(is_rare, outputs - mean, outputs)


def mlp(features, outputs=1):
    return nn.Sequential(nn.Linear(features, 4), nn.BatchNorm1d(4), nn.Linear(4, outputs))


def data_of(loss, rows=ROWS, **weights):
    draw = np.random.default_rng(0)
    x = draw.standard_normal((rows, 3))
    y = x @ [1.0, -2.0, 3.0] + 10 + np.linspace(0, 5, rows)
    x[: rows // 2 : rows // 7, 0] = 7  # rare rows, in the first part
    y[: rows // 2 : rows // 7] = 7
    if loss.task == "classification":
        y = np.searchsorted([8, 12, 30], y)
        y[rows // 2] = 3  # a rare class
    return gd.Dataset.from_arrays(x, y, dtype=torch.float64, **weights)


def name(case):
    return f"{type(case[0]).__name__}-{case[1].__name__}"


LOSSES = (
    Root(), Correlation(), Sum(), Capped(), Trimmed(), Limited(), Weighted(), Rare(), Own(),
    OwnClasses(),
)  # fmt: skip
CASES = [
    *((loss, gd.Linear, False) for loss in LOSSES),
    *((gd.MSE(), make, True) for make in (normalized, Attention, Centred)),
    *((gd.MSE(), make, False) for make in (mlp, gd.Linear)),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_an_evaluation_is_that_of_all_rows_at_once(case):
    loss, make, is_together = case
    data = data_of(loss)
    with gd.seeded(0, gd.Purpose.MODEL):
        count = loss.outputs(data)
        model = (make(3) if count == 1 else make(3, count)).double().eval()
        for parameter in model.parameters():
            nn.init.normal_(parameter)
    objective = gd.Objective(model, loss)
    rows = objective.encode(data.train)
    assert len(objective.slices(rows)) == (1 if is_together else 2)
    value = objective.batch_loss(rows.features, rows.targets)
    slopes = torch.autograd.grad(value, list(model.parameters()))
    evaluation = objective.evaluate(rows, data, gradient=True)
    assert evaluation.loss == pytest.approx(value.item(), rel=1e-10)
    norm = torch.stack([slope.norm() for slope in slopes]).norm().item()
    assert evaluation.gradient_norm == pytest.approx(norm, rel=1e-8)


@pytest.mark.parametrize("case", [
    (Root(), gd.Linear), (Correlation(), gd.Linear), (Own(), gd.Linear), (gd.MSE(), normalized),
], ids=name)  # fmt: skip
def test_a_group_evaluates_as_each_run_does_alone(case):
    loss, make = case
    data, loader = data_of(loss, 30_000), gd.FullBatch(30_000)  # 90,000 for three runs

    def runs():
        for seed in range(3):
            with gd.seeded(seed, gd.Purpose.MODEL):
                model = make(3).double()
                for parameter in model.parameters():
                    nn.init.normal_(parameter)
            rule = gd.GD(model.parameters(), lr=1e-3)
            yield gd.Problem(gd.Objective(model, loss), rule, gd.Constant(), 0)

    group = Stacked(list(runs()), data, loader, epochs=1)
    for whole in (True, False):
        evaluations = group.evaluate("train", whole=whole)
        for run, found in zip(runs(), evaluations, strict=True):
            alone = gd.build_engine("eager", [run], data, loader, epochs=1).evaluate("train")[0]
            assert found.loss == pytest.approx(alone.loss, rel=1e-10)
            assert found.gradient_norm == pytest.approx(alone.gradient_norm, rel=1e-8)


@pytest.mark.parametrize("loss", [Root(), Correlation(), Sum(), Capped(), Trimmed(), Weighted()])
def test_rows_with_weights_need_a_mean_over_rows(loss):
    data = data_of(loss, 1000, weights=np.random.default_rng(0).uniform(1, 2, 1000))
    with pytest.raises(UserError, match="must be a mean over rows"):
        spec(loss, data)


def test_classes_with_weights_need_a_mean_over_rows():
    loss = Weighted(class_weight="balanced")
    with pytest.raises(UserError, match="must be a mean over rows"):
        spec(loss, data_of(loss, 1000))


class Relative(Own):
    """Its values by row depend on the other rows, and their mean does not tell."""

    def by_row(self, outputs, targets):
        values = (outputs - targets).abs().pow(1.5)[:, 0]
        return values + values.flip(0) - values.mean()


def test_values_by_row_depend_on_no_other_rows():
    with pytest.raises(UserError, match="does not depend on the other rows"):
        spec(Relative(), data_of(Relative(), 1000, weights=np.linspace(1, 2, 1000)))


@pytest.mark.parametrize("loss", [Own(), OwnClasses(), OwnClasses(class_weight="balanced")])
def test_a_mean_over_rows_takes_weights(loss):
    weights = np.random.default_rng(0).uniform(1, 2, 1000)
    data = data_of(loss, 1000, weights=weights)
    run = spec(loss, data)
    found = run.objective.evaluate(run.objective.encode(data.train), data, gradient=False)
    outputs, targets = run.model(data.train.features), data.train.targets
    sizes = torch.from_numpy(weights)
    if isinstance(loss, OwnClasses):
        by_row = F.cross_entropy(outputs, targets, label_smoothing=0.1, reduction="none")
        if loss.class_weight:  # all classes have the same sum of weights
            sizes = sizes / torch.bincount(targets, weights=sizes)[targets]
    else:
        by_row = (outputs - targets).abs().pow(1.5)[:, 0]
    assert found.loss == pytest.approx((sizes * by_row).sum().item() / sizes.sum().item())


class Reading(gd.Loss):
    """Adds the mean of the activations."""

    def __init__(self, model):
        self.model = model

    def __call__(self, outputs, targets):
        return (outputs - targets).square().mean() + self.model.hidden.mean()


@pytest.mark.parametrize("where", ["loss", "penalty"])
def test_activations_of_all_rows_count(where):
    data, model = data_of(Own(), ROWS), Remembering().double()
    gd.initialize(model, gd.Normal(), seed=0)
    loss = Reading(model) if where == "loss" else gd.MSE()
    penalty = Activity(strength=0.5, limit=5.0) if where == "penalty" else None
    objective = Objective(model, loss, penalty)
    for scale in (1.0, 1000.0):  # the first passes no limit
        with torch.no_grad():
            model.first.weight *= scale
        rows = objective.encode(data.train)
        evaluation = objective.evaluate(rows, data, gradient=True)
        value = objective.batch_loss(rows.features, rows.targets) + objective.penalty_value()
        slopes = torch.autograd.grad(value, list(model.parameters()))
        assert evaluation.objective == pytest.approx(value.item())
        norm = torch.cat([slope.flatten() for slope in slopes]).norm().item()
        assert evaluation.gradient_norm == pytest.approx(norm)


def spec(loss, data):
    model = gd.Linear(3, loss.outputs(data)).double()
    gd.initialize(model, gd.Normal(), seed=0)
    rule = gd.GD(model.parameters(), lr=0.01)
    return gd.RunSpec(model, loss, rule, gd.FullBatch(data.rows), data)
