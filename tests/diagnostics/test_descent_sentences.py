"""Verdicts claim only what was measured where the run ended."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gdframe as gd
from gdframe.diagnostics.least_squares import least_squares
from gdframe.diagnostics.spectrum import spectrum_at
from gdframe.stopping import Status, Verdict


@pytest.mark.parametrize(
    "words",
    [
        ("model.start=[0.0,2.0]", "lr=1e-7", "stopping.tolerance=0.01"),  # a negative curvature
        ("model.start=[2.5,2.5]", "lr=0.001", "stopping.gradient_tolerance=10"),  # none
    ],
)
def test_a_run_that_stands_on_a_slope_has_not_converged(tmp_path, words):
    result = gd.train("model=himmelblau", *words, "epochs=20", folder=tmp_path / "run")
    assert result.status == "max_epochs" or result.gradient_norm < 1e-2
    assert "lambda_min" in result.diagnostics
    assert "the point is a" not in result.reason


class FirstEpoch(gd.StoppingRule):
    """Ends a run after three epochs, and returns to the first."""

    def follow(self, memory, end):
        return end.epoch == 1

    def judge(self, memory, end):
        return Verdict(Status.CONVERGED, "done", restores_best=True) if end.epoch == 3 else None


@pytest.mark.parametrize("model", ["least squares", "function"])
def test_a_verdict_on_restored_parameters_gets_no_advice_from_others(model):
    if model == "function":
        function = gd.Himmelblau(start=[0.0866775, 2.8842547]).double()
        parts = (function, None, gd.GD(function.parameters(), lr=1e-4), gd.FullBatch(1))
        data = gd.Dataset.none(dtype=torch.float64)
    else:
        data = gd.Diabetes().load()
        linear = gd.Linear(data.features)
        parts = (linear, gd.MSE(), gd.GD(linear.parameters(), lr=0.06), gd.PerSample(data.rows))
    trainer = gd.Trainer(
        *parts, data, epochs=20, stopping=[FirstEpoch()], diagnosis=gd.Diagnostics()
    )
    result = trainer.fit()
    assert result.epochs == 1
    assert result.reason.startswith("done")
    assert "minimum" not in result.reason
    assert "limit" not in result.reason


class Wall(gd.Function):
    """A slope with a wall behind it, on which the curvature is much larger."""

    def __init__(self):
        super().__init__([0.0], 1)

    def value(self, x):
        return (torch.exp(10 * (x - 1)) - x).sum(dim=-1)


@pytest.mark.parametrize("curvature", [False, True])
def test_a_divergence_names_where_the_curvature_was_measured(curvature):
    model = Wall()
    trainer = gd.Trainer(
        model, None, gd.GD(model.parameters(), lr=50.0), gd.FullBatch(1), gd.Dataset.none(),
        epochs=5, diagnosis=gd.Diagnostics(curvature=curvature),
    )  # fmt: skip
    result = trainer.fit()
    assert result.status == "diverged"
    assert "times the stability limit" in result.reason
    assert ("at the start" in result.reason) is not curvature
    assert ("at epoch 0" in result.reason) is curvature
    assert "so the curvature was larger later; try 0.005, which lowered" in result.reason


class Bootstrap(gd.Loader):
    """As many rows in each step as there are, drawn with replacement."""

    def __init__(self, rows):
        super().__init__(rows, rows)

    def order(self, epoch, seed):
        draw = gd.generator(seed, gd.Purpose.ORDER, epoch)
        return torch.randint(0, self.rows, (self.rows,), generator=draw)


@pytest.mark.parametrize("loader", [gd.FullBatch, Bootstrap])
def test_limits_and_rates_of_full_batches_are_for_loaders_that_take_each_row_once(loader):
    data = gd.Diabetes().load()
    model = gd.Linear(data.features)
    trainer = gd.Trainer(
        model, gd.MSE(), gd.Momentum(model.parameters(), lr=0.01), loader(data.rows), data,
        epochs=2, diagnosis=gd.Diagnostics(theory=True),
    )  # fmt: skip
    facts = trainer.fit().diagnostics
    is_full = loader is gd.FullBatch
    assert ("predicted_rate" in facts) is is_full
    assert facts.get("limit_of_full_batches", False) is not is_full
    assert "noisy_limit" not in facts
    assert facts["minimum"] == least_squares(trainer.run.spec.objective, data).minimum


def test_a_measurement_leaves_the_penalty_as_it_was():
    calls = []

    class Counting(gd.L2):
        def value(self, weights):
            calls.append(len(weights))
            return super().value(weights)

    objective = gd.Objective(gd.Linear(2), gd.MSE(), Counting(strength=0.1))
    data = gd.Dataset.from_arrays(np.eye(4)[:, :2], np.arange(4.0))
    spectrum_at(objective, dict(objective.model.named_parameters()), objective.encode(data.train))
    assert not calls


@pytest.mark.parametrize("lr", ["auto", "0.1"])
def test_noise_is_no_reason_to_change_a_rate_that_was_searched(lr):
    result = gd.train("data=diabetes", f"lr={lr}", "stopping.tolerance=null")
    assert "the noise of the batches keeps the objective from settling; try " in result.reason
    assert ("try larger batches or a decaying schedule" in result.reason) == (lr == "auto")


@pytest.mark.parametrize(
    ("words", "is_slow"),
    [
        ((), False),
        (("stopping.tolerance=0.01",), True),
        (("stopping=improvement", "stopping.improvement.tolerance=0.01"), True),
        (("stopping.tolerance=0.01", "stopping.patience=1000"), False),
    ],
)
def test_a_run_is_slow_by_the_tolerance_of_its_own_rule(words, is_slow):
    """An epoch lowers the objective by about 0.02 %, which is less than 1 % in five epochs."""
    result = gd.train("variant=batch", "lr=1e-4", "epochs=50", *words)
    assert result.status == "max_epochs"
    assert ("moves too slowly for its tolerance" in result.reason) == is_slow
    assert ("still descending" in result.reason) == (not is_slow)
