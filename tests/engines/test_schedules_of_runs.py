"""Each run has its own schedule, which draws nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

import gdframe as gd

from .small import DATA, built, run_of


@dataclass(slots=True)
class Slotted(gd.Schedule):
    rate: float

    def factor(self, epochs, clock):
        return np.full(len(epochs), self.rate)


@pytest.mark.parametrize("engine", ["linear", "gram"])
def test_each_run_has_its_own_schedule(engine):
    runs = [run_of(schedule=Slotted(rate)) for rate in (1.0, 0.5)]
    chosen = gd.build_engine(engine, runs, DATA, gd.FullBatch(20), epochs=2)
    chosen.advance(0, 1)
    first, second = (chosen.parameters(run)["weight"] for run in range(2))
    torch.testing.assert_close(first, 2 * second)


def test_a_schedule_that_draws_is_refused():
    class Jitter(gd.Schedule):
        def __init__(self):
            self.random = np.random.default_rng(0)

        def factor(self, epochs, clock):
            return self.random.random(len(epochs))

    with pytest.raises(gd.UserError, match=r"Jitter\.factor: gives another factor"):
        built("eager", run_of(schedule=Jitter()))
