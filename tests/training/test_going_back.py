"""A run that returns to an earlier step has what its parts had there, or says so."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from others import CountsCalls, Descent, HiddenBuffer, NumberInGroup, trainer

import gdframe as gd
from gdframe.training import blocks


class Hides(Descent):
    calls: ClassVar = [0]

    def factor(self, group, p, state):
        Hides.calls[0] += 1
        return 1 / Hides.calls[0]


def test_a_way_back_that_cannot_repeat_the_steps_is_reported(caplog):
    class Grows(Hides):
        def factor(self, group, p, state):
            return 1.5 / super().factor(group, p, state)

    trainer(optimizer=Grows, epochs=400, stopping=gd.Stopping(divergence_factor=1e300)).fit()
    assert any("when it was executed again" in record.message for record in caplog.records)


@pytest.mark.parametrize("optimizer", [NumberInGroup, CountsCalls], ids=lambda c: c.__name__)
def test_a_run_that_diverges_ends_at_parameters_that_it_had(optimizer, monkeypatch):
    class Grows(optimizer):
        def factor(self, group, p, state):
            return 1.5 / super().factor(group, p, state)

    path = {}

    class Path(gd.Observer):
        def on_block(self, run, steps):
            path[run.step] = {name: p.clone() for name, p in run.parameters().items()}

    monkeypatch.setattr(blocks, "BLOCK_SECONDS", 1e-9)  # blocks of one step
    diverging = trainer(
        optimizer=Grows,
        epochs=400,
        observers=[Path()],
        stopping=gd.Stopping(divergence_factor=1e300),
    )
    result = diverging.fit()
    assert (result.status, result.steps > 3) == (gd.Status.DIVERGED, True)
    for name, values in diverging.run.parameters().items():
        assert torch.equal(values, path[result.steps][name])


def test_the_best_parameters_come_back_with_what_the_model_keeps():
    class Third(gd.StoppingRule):
        def follow(self, memory, end):
            return end.epoch == 3

        def judge(self, memory, end):
            if end.epoch == 6:
                return gd.Verdict(gd.Status.CONVERGED, "enough", restores_best=True)
            return None

    result = trainer(model=HiddenBuffer, stopping=[Third()], epochs=20).fit()
    assert result.objective == result.history["objective"][3]
