"""Models whose answer depends on other rows of a batch, on its size, or on earlier calls."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gdframe as gd
from gdframe import objective
from gdframe.diagnostics.least_squares import least_squares
from gdframe.diagnostics.minimum import minimum_of
from gdframe.engines import together
from gdframe.engines.stack import Stack

from .small import DATA, built, run_of


class Centred(gd.Linear):
    def design(self, features):
        return features - features.mean(dim=0)


class Running(gd.Linear):
    """Remembers the largest feature of all calls."""

    most = 1.0

    def design(self, features):
        if float(features.abs().max()) > self.most and len(features) > 10:
            self.most = float(features.abs().max())
        return features / self.most


@pytest.mark.parametrize(("engine", "loader"), [
    ("linear", gd.MiniBatch(20, 5)), ("gram", gd.FullBatch(20)),
])  # fmt: skip
def test_a_design_across_rows_is_refused(engine, loader):
    with pytest.raises(gd.CannotExecute, match=r"depends on the other rows|changes"):
        built(engine, run_of(Centred(3)), loader)


class Boxed(gd.Linear):
    """Keeps its weights in a box that they leave late, or never."""

    def design(self, features):
        with torch.no_grad():
            self.weight.clamp_(-20.0, 20.0)
        return features


class Scaled(gd.Linear):
    """Divides by the norm of weights that are far from the start."""

    def design(self, features):
        norm = float(self.weight.detach().norm())
        return features / norm if 50.0 < norm < 1e6 else features


class Counts(gd.Linear):
    """Counts how often its weights were large."""

    def __init__(self, features):
        super().__init__(features)
        self.register_buffer("times", torch.zeros(()))

    def design(self, features):
        self.times += float(self.weight.detach().abs().max() > 50.0)
        return features


@pytest.mark.parametrize("model", [Boxed, Scaled, Counts])
@pytest.mark.parametrize(("engine", "loader"), [
    ("linear", gd.MiniBatch(20, 5)), ("gram", gd.FullBatch(20)),
])  # fmt: skip
def test_a_design_that_depends_on_weights_or_changes_them_late_is_refused(engine, loader, model):
    run = run_of(model(3))
    before = {name: value.clone() for name, value in run.objective.model.state_dict().items()}
    reason = "depends on its parameters, or changes them|changes its buffer 'times'"
    with pytest.raises(gd.CannotExecute, match=reason):
        built(engine, run, loader)
    assert all(torch.equal(v, before[n]) for n, v in run.objective.model.state_dict().items())
    assert least_squares(run.objective, DATA) is None
    assert minimum_of(run.objective, DATA) is None


def test_auto_undoes_changes_by_its_trial_calls():
    ends = []
    for engine in ("eager", "auto"):
        run = run_of(Running(3))
        chosen = built(engine, run)
        for epoch in range(3):
            chosen.advance(epoch * 4, epoch * 4 + 4)
        ends.append((run.objective.model.weight.detach().clone(), run.objective.model.most))
    assert torch.equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


class SkipsSmall(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x):
        if self.training and len(x) > 4:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(dim=0).detach()
        return self.layer(x - self.mean)


def test_trial_calls_use_the_batch_size_of_training():
    run = run_of(SkipsSmall())
    assert "'mean'" in gd.Compiled.why_not([run], DATA, gd.MiniBatch(20, 10))


def test_a_group_is_evaluated_in_the_chunks_of_the_plain_loop(monkeypatch):
    for module in (objective, together):
        monkeypatch.setattr(module, "CHUNK", 8)
    runs = []
    for seed in range(3):
        with gd.seeded(seed, gd.Purpose.INITIALIZE):
            layers = nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 1)
        runs.append(run_of(nn.Sequential(*layers)))
    rows = runs[0].objective.encode(DATA.train)
    evaluations = together.evaluate_together(Stack(runs), {}, rows, DATA, gradient=True)
    for run, evaluation in zip(runs, evaluations, strict=True):
        expected = run.objective.evaluate(rows, DATA, gradient=True)
        assert evaluation.objective == pytest.approx(expected.objective, rel=1e-12)
        assert evaluation.gradient_norm == pytest.approx(expected.gradient_norm, rel=1e-12)
