"""A trainer that is fitted again, and what a failed fit leaves as it was."""

from __future__ import annotations

import pytest
import torch
from trainers import DATA, make

import gdframe as gd


@pytest.mark.parametrize("engine", ["eager", "linear"])
def test_a_second_fit_goes_on_from_the_end_or_from_what_was_restored(engine):
    trainer = make(engine=engine)
    captures: list = []

    class Keep(gd.Observer):
        def on_epoch(self, run):
            captures.append(run.capture())

    trainer.run.observers = [Keep()]
    first = trainer.fit()
    end = {name: values.clone() for name, values in trainer.run.parameters().items()}
    again = trainer.fit()
    assert (again.steps, again.objective) == (first.steps, first.objective)
    trainer.run.restore(captures[1])
    restored = trainer.fit()
    assert (restored.steps, restored.objective) == (first.steps, first.objective)
    for name, values in trainer.run.parameters().items():
        assert torch.equal(values, end[name])


def test_the_learning_rate_is_restored_after_an_error():
    class Breaks(gd.Linear):
        def forward(self, x):
            if self.training and self.weight.abs().sum() > 0.5:
                raise RuntimeError("broken")
            return super().forward(x)

    trainer = make(model=Breaks(DATA.features).double(), schedule="cosine")
    with pytest.raises(RuntimeError, match="broken"):
        trainer.fit()
    assert trainer.run.spec.optimizer.param_groups[0]["lr"] == 0.05
