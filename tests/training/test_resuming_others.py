"""A run of somebody else's optimizer or model goes on bit for bit, or says what is not saved."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import nn
from trainers import DATA

import gdframe as gd
from gdframe.training import blocks, changing_parts


class Descent(torch.optim.Optimizer):
    """Multiplies the learning rate by a factor; subclasses keep what the factor depends on."""

    def __init__(self, params, lr=0.05, **settings):
        super().__init__(params, {"lr": lr, **settings})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad, alpha=-group["lr"] * self.factor(group, p, self.state[p]))


class NumberInGroup(Descent):
    def __init__(self, params):
        super().__init__(params, k=0)

    def factor(self, group, p, state):
        group["k"] += 1
        return 1 / group["k"]


class TensorInGroup(Descent):
    def __init__(self, params):
        super().__init__(params, k=torch.zeros(()))

    def factor(self, group, p, state):
        group["k"].add_(1)
        return 1 / float(group["k"])


class LateInGroup(Descent):
    def factor(self, group, p, state):
        group["k"] = group.get("k", 0) + 1
        return 1 / group["k"]


class InStateOfNoParameter(Descent):
    def __init__(self, params):
        super().__init__(params)
        self.state["k"] = 0

    def factor(self, group, p, state):
        self.state["k"] += 1
        return 1 / self.state["k"]


class ListOfTensors(Descent):
    def factor(self, group, p, state):
        gradients = state.setdefault("gradients", [])
        gradients.append(p.grad.clone())
        del gradients[:-3]
        return float(sum(gradients).norm() / len(gradients))


class ListOfOneNumber(Descent):
    def factor(self, group, p, state):
        state.setdefault("k", [0.0])[0] += 1
        return 1 / state["k"][0]


class PairOfNumbers(Descent):
    def factor(self, group, p, state):
        a, b = state["pair"] = (state.get("pair", (0, 1))[1], sum(state.get("pair", (0, 1))))
        return 1 / (a + b)


class DictOfTensors(Descent):
    def factor(self, group, p, state):
        moments = state.setdefault("moments", {1: torch.zeros_like(p), "calls": 0})
        moments[1].mul_(0.9).add_(p.grad)
        moments["calls"] += 1
        return float(moments[1].norm()) / moments["calls"]


class TextAndNone(Descent):
    def factor(self, group, p, state):
        state["phase"] = "odd" if state.get("phase", "even") == "even" else "even"
        state.setdefault("seen", None)
        return 1.0 if state["phase"] == "odd" and state["seen"] is None else 0.3


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(3, 4), nn.Linear(4, 1)

    def forward(self, x):
        return self.outer(torch.tanh(self.inner(x)))


class ExtraState(Net):
    calls = 0

    def forward(self, x):
        self.calls += self.training
        return super().forward(x) * (1 + 1 / (1 + self.calls))

    def get_extra_state(self):
        return {"calls": self.calls}

    def set_extra_state(self, state):
        self.calls = state["calls"]


class LateBuffer(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", None)

    def forward(self, x):
        if self.training and self.mean is None:
            self.mean = x.mean(0)
        return super().forward(x if self.mean is None else x - self.mean)


class GrowingBuffer(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("bank", torch.zeros(1, 3, dtype=torch.float64))

    def forward(self, x):
        if self.training:
            self.bank = torch.cat([self.bank, x[:1]])[-20:]
        return super().forward(x - self.bank.mean(0))


class Unfreezes(Net):
    """Trains its first layer from a step on, and its last layer until then."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.inner.requires_grad_(False)

    def forward(self, x):
        self.calls += self.training
        if self.training and self.calls == 12:
            self.inner.requires_grad_(True)
            self.outer.requires_grad_(False)
        return super().forward(x)


def trainer(model=Net, optimizer=torch.optim.SGD, epochs=4, loss=gd.MSE, **more):
    with gd.seeded(1, gd.Purpose.INITIALIZE):
        module = model().double()
    settings = {"engine": "eager", "stopping": gd.Stopping(tolerance=None), **more}
    rule = optimizer(module.parameters())
    loader = gd.MiniBatch(DATA.rows, 7)
    return gd.Trainer(module, loss(), rule, loader, DATA, epochs=epochs, **settings)


def assert_resumes(**parts):
    whole = trainer(**parts)
    whole.fit()
    for epochs in (1, 3):
        first = trainer(epochs=epochs, **parts)
        first.fit()
        resumed = trainer(**parts)
        resumed.run.restore(first.run.capture())
        resumed.fit()
        for name, values in whole.run.parameters().items():
            assert torch.equal(values, resumed.run.parameters()[name]), (epochs, name)


@pytest.mark.parametrize("optimizer", Descent.__subclasses__(), ids=lambda c: c.__name__)
def test_an_optimizer_goes_on_wherever_it_keeps_its_state(optimizer):
    assert_resumes(optimizer=optimizer)


@pytest.mark.parametrize("optimizer", [gd.Adam, torch.optim.Adam], ids=["gdframe", "torch"])
@pytest.mark.parametrize("model", Net.__subclasses__(), ids=lambda c: c.__name__)
def test_a_model_goes_on_whatever_its_state_is_like(model, optimizer):
    assert_resumes(model=model, optimizer=lambda params: optimizer(params, lr=0.05))


def test_a_captured_state_does_not_change_with_the_run_that_goes_on_from_it():
    first = trainer(optimizer=ListOfTensors, epochs=2)
    first.fit()
    capture = first.run.capture()
    before = {name: values.clone() for name, values in capture.tensors.items()}
    resumed = trainer(optimizer=ListOfTensors)
    resumed.run.restore(capture)
    resumed.fit()
    assert all(torch.equal(values, capture.tensors[name]) for name, values in before.items())


def test_settings_of_the_new_optimizer_stay():
    first = trainer(optimizer=lambda p: torch.optim.SGD(p, lr=0.05, weight_decay=0.2), epochs=1)
    first.fit()
    resumed = trainer(optimizer=lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.3))
    resumed.run.restore(first.run.capture())
    (group,) = resumed.run.spec.optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.1, 0.3)


def test_a_state_that_no_file_can_hold_is_refused_by_name():
    class Odd(Descent):
        def factor(self, group, p, state):
            state["odd"] = object()
            return 1.0

    odd = trainer(optimizer=Odd)
    odd.fit()
    with pytest.raises(gd.UserError, match=r"'optimizer\.0\.odd' cannot be saved: it holds a obj"):
        odd.run.capture()


class HiddenBuffer(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3), persistent=False)

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0) + 0.05
        return super().forward(x - self.mean)


class CountsCalls(Descent):
    def __init__(self, params):
        super().__init__(params)
        self.calls = 0

    def factor(self, group, p, state):
        self.calls += 1
        return 1 / self.calls


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
