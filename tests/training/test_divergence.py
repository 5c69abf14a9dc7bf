"""A run that diverges names the step, and keeps its last finite state."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from trainers import DATA, make

import gdframe as gd
from gdframe.stopping import Status
from gdframe.training import blocks, replay


def test_divergence_names_the_step_and_keeps_the_last_finite_state():
    trainer = make(100.0, dtype=torch.float32, loader=gd.PerSample(48), data=gd.Regression(
        rows=60, features=3, noise=0.5).load())  # fmt: skip
    result = trainer.fit()
    assert result.status == Status.DIVERGED
    step = int(result.reason.split("step ")[1].split(";")[0].split(" ")[0])
    assert "learning rate 100 is too large: try a smaller one" in result.reason
    assert step - 4 <= result.steps < step
    assert all(p.isfinite().all() for p in trainer.run.parameters().values())
    assert math.isfinite(result.train_loss)


def test_a_run_resumed_just_before_it_diverges_ends_the_same(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_SECONDS", 1e-9)  # blocks of one step
    settings = {"lr": 3.0, "loader": gd.MiniBatch(48, 2), "epochs": 400}
    settings["stopping"] = gd.Stopping(divergence_factor=1e300)
    captures = []

    class Every(gd.Observer):
        def on_block(self, run, steps):
            if run.is_finite():
                captures.append(run.capture())

    result = make(**settings, observers=[Every()]).fit()
    assert result.status == Status.DIVERGED
    assert captures[-1].facts["step"] == result.steps
    for capture in captures[-3:]:
        resumed = make(**settings)
        resumed.run.restore(capture)
        again = resumed.fit()
        assert (again.reason, again.steps) == (result.reason, result.steps)
        assert again.objective == result.objective
        assert math.isfinite(again.objective)


@pytest.mark.parametrize("snapshot", [0.0, 1e9])
@pytest.mark.parametrize("block", [1e-9, 10.0])
def test_divergence_does_not_depend_on_timing(snapshot, block, monkeypatch):
    monkeypatch.setattr(replay, "SNAPSHOT_SECONDS", snapshot)
    monkeypatch.setattr(blocks, "BLOCK_SECONDS", block)
    trainer = make(3.0, loader=gd.MiniBatch(48, 7), epochs=400, stopping=gd.Stopping(
        divergence_factor=1e300))  # fmt: skip
    result = trainer.fit()
    monkeypatch.undo()
    expected = make(3.0, loader=gd.MiniBatch(48, 7), epochs=400, stopping=gd.Stopping(
        divergence_factor=1e300)).fit()  # fmt: skip
    assert result.status == Status.DIVERGED
    assert result.reason == expected.reason
    assert result.steps == expected.steps
    assert result.objective == expected.objective
    for column, values in expected.history.steps.items():
        assert np.array_equal(values, result.history.steps[column])


def test_divergence_at_the_start_is_said_plainly():
    model = gd.Linear(3).double()
    with torch.no_grad():
        model.weight.fill_(1e200)
    rule = gd.GD(model.parameters(), lr=0.1)
    result = gd.Trainer(model, gd.MSE(), rule, gd.FullBatch(48), DATA).fit()
    assert result.status == Status.DIVERGED
    assert result.reason == (
        "objective is infinite at the start, before any update: start closer to zero"
    )
    assert result.steps == 0


def test_an_objective_beyond_the_factor_has_diverged():
    stopping = gd.Stopping(divergence_factor=10.0)
    result = make(1.5, loader=gd.FullBatch(48), stopping=stopping, epochs=100).fit()
    assert result.status == Status.DIVERGED
    assert "times its start" in result.reason
    assert result.objective > 10 * result.history["objective"][0]


def test_a_state_far_back_is_found_in_few_replays(monkeypatch):
    """Rows of one kind let the weight grow; the objective overflows long before a step's loss."""
    rows = 20_001
    x = torch.ones(rows, 1)
    x[-1] = 1e10
    data = gd.Dataset.from_arrays(x.numpy(), torch.zeros(rows).numpy())
    model = gd.Linear(1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    rule = gd.GD(model.parameters(), lr=1.001)  # it grows by 0.2 % a step
    loader = gd.PerSample(rows, shuffle=False)
    trainer = gd.Trainer(
        model, gd.MSE(), rule, loader, data, epochs=1, stopping=gd.Stopping(tolerance=None),
        engine="linear",
    )  # fmt: skip
    replays = []
    plain = replay.Snapshots.replay
    monkeypatch.setattr(replay.Snapshots, "replay", lambda *a: replays.append(a[-1]) or plain(*a))
    result = trainer.fit()
    assert result.status == gd.Status.DIVERGED
    assert len(replays) < 60
    assert torch.isfinite(torch.tensor(result.objective))
