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
from gdframe.runs.log import begin_launch


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


class MarksParameters(torch.optim.SGD):
    """Keeps its last gradients as attributes of the parameters."""

    __module__ = __name__

    def __init__(self, params):
        super().__init__(params, lr=0.01)

    def step(self, closure=None):
        super().step()
        for parameter in self.param_groups[0]["params"]:
            parameter.last = parameter.grad.clone()


class CountsByGroup(torch.optim.SGD):
    """Counts under the number of the group instead of a parameter."""

    __module__ = __name__

    def __init__(self, params):
        super().__init__(params, lr=0.01)

    def step(self, closure=None):
        super().step()
        self.state[0]["t"] = self.state[0].get("t", 0) + 1


class ScaledWeight(torch.nn.Linear):
    """Keeps a number as an attribute of its weight."""

    __module__ = __name__

    def __init__(self):
        super().__init__(3, 1)
        self.weight.scale = 1.0

    def forward(self, x):
        if self.training:
            self.weight.scale *= 0.9
        return super().forward(x)


@pytest.fixture
def warnings(caplog):
    begin_launch()
    return lambda: [r.message for r in caplog.records if "checkpoints do not hold" in r.message]


@pytest.mark.parametrize(
    ("place", "parts"),
    [
        ("model.mean", {"model": HiddenBuffer}),
        ("optimizer.calls", {"optimizer": CountsCalls}),
        ("attributes of loss", {"loss": CountingLoss}),
        ("stopping['CountingRule'].epochs", {"stopping": [CountingRule()]}),
        ("model parameter inner.weight", {"optimizer": MarksParameters}),
        ("optimizer.state[0]", {"optimizer": CountsByGroup}),
        ("model parameter weight['scale']", {"model": ScaledWeight}),
    ],
)
def test_state_that_no_checkpoint_holds_is_named_once_a_launch(place, parts, warnings):
    for _ in range(2):
        run = trainer(epochs=2, **parts)
        run.fit()
        run.run.capture()
        run.run.capture()
    message, again = warnings()
    assert message == again
    assert message.startswith(f"warning: checkpoints do not hold {place}")
    assert ("predictions with the saved model" in message) == place.startswith("model")


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
