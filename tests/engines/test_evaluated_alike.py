"""Evaluations of all rows are alike, and leave the model as it is."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gdframe as gd

from .against_eager import DATA, against_eager, loader_of, runs_of, trained


class AtInference(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 1)

    def forward(self, x):
        h = self.a(x)
        return h if torch.is_grad_enabled() else h.clamp(-0.1, 0.1)


def test_all_rows_are_evaluated_without_gradients():
    (run,) = runs_of(gd.GD, lambda _: AtInference(), 1, torch.float64)
    engine, _ = trained("eager", [run], DATA, loader_of("mini_batch"))
    (evaluation,) = engine.evaluate("train")
    with torch.no_grad():
        outputs = run.objective.model.eval()(DATA.train.features)
    expected = (outputs - DATA.train.targets).square().mean().item()
    assert evaluation.loss == pytest.approx(expected, rel=1e-12)
    assert evaluation.gradient_norm > 0
    for name in ("auto", "compiled"):
        assert not against_eager(
            name, lambda: runs_of(gd.GD, lambda _: AtInference(), 1, torch.float64),
            loader_of("mini_batch"), {},
        ).problem  # fmt: skip


class Shrinking(nn.Module):
    def __init__(self):
        super().__init__()
        self.b = nn.Linear(3, 1)

    def forward(self, x):
        with torch.no_grad():
            if self.b.weight.norm() > 0.5:
                self.b.weight.mul_(0.9)
        return self.b(x)


def test_evaluations_leave_parameters_as_they_are_also_late():
    (run,) = runs_of(gd.GD, lambda _: Shrinking(), 1, torch.float64)
    weight = run.objective.model.b.weight
    with torch.no_grad():
        weight.zero_()
    loader = loader_of("full_batch")
    engine = gd.build_engine("eager", [run], DATA, loader, epochs=4)
    engine.evaluate("train")
    with torch.no_grad():
        weight.fill_(2.0)
    before = weight.detach().clone()
    engine.evaluate("train")
    assert torch.equal(weight, before)
