"""Metrics compare predicted classes with those of the data, however a loss encodes them."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_iris
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

import gdframe as gd


class OneHot(gd.ClassificationLoss):
    """Classes as one-hot rows."""

    def encode(self, targets, dtype):
        return one_hot(targets, 3).to(dtype)

    def __call__(self, outputs, targets):
        return (outputs.softmax(1) - targets).square().sum(1).mean()

    def probabilities(self, outputs):
        return outputs.softmax(1)


class Smoothed(gd.CrossEntropy):
    """Classes as shares that are never 0 or 1."""

    def encode(self, targets, dtype):
        return 0.9 * one_hot(targets, 3).to(dtype) + 0.1 / 3

    def __call__(self, outputs, targets):
        return cross_entropy(outputs, targets)


class Ordinal(gd.Loss):
    """One output for each step from a class to the next."""

    task = "classification"

    def encode(self, targets, dtype):
        return (targets[:, None] > torch.arange(2, device=targets.device)).to(dtype)

    def outputs(self, data):
        return 2

    def __call__(self, outputs, targets):
        return binary_cross_entropy_with_logits(outputs, targets)

    def predict(self, outputs):
        return (outputs > 0).sum(1)


class Shares(gd.Loss):
    """Two classes as shares in one column, 0.05 and 0.95."""

    task = "classification"

    def encode(self, targets, dtype):
        return (0.9 * targets.to(dtype) + 0.05)[:, None]

    def outputs(self, data):
        return 1

    def __call__(self, outputs, targets):
        return binary_cross_entropy_with_logits(outputs, targets)

    def predict(self, outputs):
        return (outputs[:, 0] > 0).long()


class Signs(gd.BinaryLoss):
    """Two classes as -1 and 1 without a column."""

    def encode(self, targets, dtype):
        return (2 * targets - 1).to(dtype)

    def __call__(self, outputs, targets):
        return torch.nn.functional.softplus(-targets * outputs[:, 0]).mean()


def data_of(classes, weights):
    x, y = load_iris(return_X_y=True)
    x, y = x[y < classes], y[y < classes]
    sizes = 1.0 + torch.arange(len(x)) % 3 if weights else None
    return gd.Dataset.from_arrays(
        x, y, validation=0.3, standardize=True, dtype=torch.float64, weights=sizes
    )


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize(
    ("loss", "classes"), [(OneHot, 3), (Smoothed, 3), (Ordinal, 3), (Shares, 2), (Signs, 2)]
)
def test_metrics_and_confusion_are_of_the_classes(loss, classes, weights):
    data = data_of(classes, weights)
    of_run = loss()
    model = gd.Linear(4, of_run.outputs(data)).double()
    names = ["accuracy", "f1", "balanced_accuracy"]
    result = gd.Trainer(
        model, of_run, gd.Momentum(model.parameters(), lr=0.1), gd.FullBatch(data.rows), data,
        epochs=60, metrics=names,
    ).fit()  # fmt: skip
    for part, rows in (("train", data.train), ("validation", data.validation)):
        predicted = of_run.predict(model(rows.features))
        right = (predicted == rows.targets).double()
        share = (
            right.mean()
            if rows.weights is None
            else (right * rows.weights).sum() / (rows.weights.sum())
        )
        assert result.metrics[part]["accuracy"] == pytest.approx(share.item(), rel=1e-12)
        assert share > 0.6
    pairs = data.validation.targets * classes + of_run.predict(model(data.validation.features))
    counts = torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    assert result.confusion["validation"] == counts.tolist()
