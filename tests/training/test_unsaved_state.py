"""State that no checkpoint holds is named."""

from __future__ import annotations

import pytest
import torch
from others import (
    CountsCalls,
    ExtraState,
    GrowingBuffer,
    HiddenBuffer,
    LateBuffer,
    NumberInGroup,
    Unfreezes,
    trainer,
)

import gdframe as gd
from gdframe.training import changing_parts


class CountingLoss(gd.MSE):
    __module__ = __name__
    scale = 1.0

    def __call__(self, outputs, targets):
        loss = super().__call__(outputs, targets)
        self.scale = 0.9 * self.scale + 0.1 * loss.item()
        return loss / self.scale


class CountingRule(gd.StoppingRule):
    def __init__(self):
        self.epochs = 0

    def judge(self, memory, end):
        self.epochs += 1


@pytest.fixture
def warnings(caplog):
    changing_parts._warn.cache_clear()
    return lambda: [r.message for r in caplog.records if "checkpoints do not hold" in r.message]


@pytest.mark.parametrize(
    ("place", "parts"),
    [
        ("model.mean", {"model": HiddenBuffer}),
        ("optimizer.calls", {"optimizer": CountsCalls}),
        ("loss.scale", {"loss": CountingLoss}),
        ("stopping['CountingRule'].epochs", {"stopping": [CountingRule()]}),
    ],
)
def test_state_that_no_checkpoint_holds_is_named_once(place, parts, warnings):
    for _ in range(2):
        run = trainer(epochs=2, **parts)
        run.fit()
        run.run.capture()
        run.run.capture()
    (message,) = warnings()
    assert f"checkpoints do not hold {place}, which training changes" in message


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"optimizer": lambda params: gd.Adam(params, lr=0.01)},
        {"optimizer": NumberInGroup},
        {"optimizer": lambda params: torch.optim.Adam(params, amsgrad=True)},
        *({"model": model} for model in (ExtraState, LateBuffer, GrowingBuffer, Unfreezes)),
    ],
)
def test_nothing_is_named_where_a_checkpoint_holds_all(parts, warnings):
    whole = trainer(epochs=3, **parts)
    whole.fit()
    whole.run.capture()
    assert warnings() == []
