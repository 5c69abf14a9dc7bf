"""Losses and metrics of others on rows with weights: computed row by row, or refused."""

from __future__ import annotations

import pytest
from weighted import pair_of_data, train

import gdframe as gd
from gdframe.errors import UserError


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
    actual, expected = (train(data, loss, "eager") for loss in (Squares(), gd.MSE()))
    assert actual.objective == pytest.approx(expected.objective, rel=1e-12)


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


class FlatTargets(gd.Loss):
    """Takes numeric targets without a second dimension."""

    def __call__(self, outputs, targets):
        return (outputs[:, 0] - targets).square().mean()

    def encode(self, targets, dtype):
        return targets[:, 0].to(dtype)


def test_flat_numbers_are_no_class_indices():
    data, _ = pair_of_data("mse")
    actual, expected = (train(data, loss, "eager") for loss in (FlatTargets(), gd.MSE()))
    assert actual.objective == pytest.approx(expected.objective, rel=1e-12)
    assert actual.metrics["train"] == pytest.approx(expected.metrics["train"], rel=1e-12)
