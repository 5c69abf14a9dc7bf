"""Smaller learning rates than one that diverged, each tried from the run's start."""

from __future__ import annotations

import pytest
import torch

import gdframe as gd
from gdframe.diagnostics.smaller_rates import SmallerRates

DATA = gd.Regression(rows=30, features=3).load(dtype=torch.float64)
EPOCHS = 25


def problem_with(lr):
    model = gd.Linear(3).double()
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    groups = [{"params": [model.weight], "lr": lr}, {"params": [model.bias], "lr": lr / 10}]
    return gd.Problem(gd.Objective(model, gd.MSE()), gd.GD(groups, lr=lr), gd.Constant(), 0)


def test_the_rates_of_parameter_groups_keep_their_ratio():
    loader = gd.FullBatch(DATA.rows)
    result = SmallerRates(problem_with(3.0), DATA, loader, EPOCHS).result()
    for lr, objective in zip(result.rates, result.objectives, strict=True):
        run = problem_with(lr)
        trainer = gd.Trainer(
            run.objective.model, gd.MSE(), run.optimizer, loader, DATA, epochs=EPOCHS,
            engine="eager", stopping=gd.Stopping(tolerance=None, divergence_factor=1e300),
        )  # fmt: skip
        assert trainer.fit().objective == pytest.approx(objective, rel=1e-9)
