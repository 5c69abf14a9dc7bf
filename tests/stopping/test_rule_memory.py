"""What stopping rules keep in their memory: numbers, which checkpoints hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gdframe as gd

X = np.random.default_rng(0).standard_normal((20, 3))
DATA = gd.Dataset.from_arrays(X, X @ [1.0, 2.0, 3.0])


def fit(value):
    class Keeps(gd.StoppingRule):
        def follow(self, memory, end):
            memory["kept"] = value
            return False

        def judge(self, memory, end):
            return None

    model = gd.Linear(3)
    rule, loader = gd.GD(model.parameters(), lr=0.01), gd.FullBatch(20)
    trainer = gd.Trainer(model, gd.MSE(), rule, loader, DATA, epochs=3, stopping=[Keeps()])
    return trainer, trainer.fit()


@pytest.mark.parametrize("value", [1, 2.5, True, np.float32(0.5), np.int64(3), np.True_])
def test_a_number_becomes_a_python_number(value):
    trainer, result = fit(value)
    assert result.status == "max_epochs"
    (memory,) = (m for m in trainer.run.memories.values() if "kept" in m)
    assert type(memory["kept"]) in (int, float)
    assert memory["kept"] == value


@pytest.mark.parametrize("value", [None, "text", [1.0], torch.tensor(1.0), np.ones(2)])
def test_anything_else_ends_the_run_and_is_named(value):
    trainer, result = fit(value)
    assert result.status == "failed"
    assert f"keeps a {type(value).__name__} in memory['kept']" in result.reason
    assert not any("kept" in memory for memory in trainer.run.memories.values())
