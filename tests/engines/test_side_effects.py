"""Components that write into a run end it, on every engine."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

import gdframe as gd

from .writing import SETTINGS, Decayed, dataset


class Stop(gd.StoppingRule):
    def __init__(self, act):
        self.act = act

    def follow(self, memory, end):
        if end.epoch == 3:
            self.act()
        return False

    def judge(self, memory, end):
        return None


class Count(gd.Metric):
    task = "regression"

    def __init__(self, act):
        self.act, self.calls = act, 0

    def __call__(self, predicted, targets):
        self.calls += 1
        if self.calls == 4:
            self.act()
        return 0.0


class Order(gd.MiniBatch):
    def __init__(self, rows, act):
        super().__init__(rows, batch_size=16)
        self.act = act

    def order(self, epoch, seed):
        if epoch == 3:
            self.act()
        return super().order(epoch, seed)


class Rate(gd.Schedule):
    def __init__(self, act):
        self.act = act

    def factor(self, epochs, clock):
        if (epochs >= 3).any():
            self.act()
        return np.ones_like(epochs)


class Watch(gd.Observer):
    def __init__(self, act):
        self.act = act

    def on_epoch(self, run):
        if run.step > 12:
            self.act()


def trainer(engine, *, who="", what="", model=None, data=None, **more):
    SETTINGS["strength"] = 0.0
    data = data or dataset()
    model = (model or gd.Linear(3)).double()
    rule, loss, penalty = Decayed(model.parameters(), lr=0.02), gd.Huber(), gd.L2(strength=0.01)
    acts = {
        "a global": lambda: SETTINGS.update(strength=1.0),
        "a hyperparameter": lambda: rule.param_groups[0].update(beta=0.9),
        "the loss": lambda: setattr(loss, "delta", 10.0),
        "the penalty": lambda: setattr(penalty, "strength", 1.0),
        "the model": lambda: setattr(model, "scale", 0.5),
        "parameters": lambda: model.weight.data.add_(0.5),
        "targets": lambda: data.train.targets.mul_(0.5),
        "features": lambda: data.train.features[:1].mul_(0.5),
        "the loader": lambda: setattr(loader, "batch_size", 4),
        "the schedule": lambda: setattr(schedule, "gamma", 0.5),
    }
    act = acts.get(what)
    guests = {
        "stopping": ("stopping", [Stop(act)]),
        "metric": ("metrics", [Count(act)]),
        "observer": ("observers", [Watch(act)]),
        "schedule": ("schedule", Rate(act)),
    }
    schedule = more.setdefault("schedule", gd.Exponential())
    loader = Order(data.rows, act) if who == "loader" else gd.MiniBatch(data.rows, batch_size=16)
    if who in guests:
        more |= dict([guests[who]])
    return gd.Trainer(
        model, loss, rule, loader, data, penalty=penalty, engine=engine, epochs=5, **more
    )


PLACES = ["a global", "a hyperparameter", "the loss", "the penalty", "the model", "parameters"]
WRITERS = [
    *product(["stopping", "metric", "observer"], ["the loader", "the schedule"]),
    *product(["stopping", "metric", "observer"], [*PLACES, "targets", "features"]),
    *product(["loader", "schedule"], PLACES),
]


@pytest.mark.parametrize(
    ("who", "what", "engine"),
    [pytest.param(*cell, engine, marks=() if (number + first) % 3 == 0 else pytest.mark.slow)
     for first, engine in enumerate(["eager", "linear"])
     for number, cell in enumerate(WRITERS)],
)  # fmt: skip
def test_whoever_writes_into_a_run_ends_it_on_every_engine(who, what, engine):
    name = {"stopping": "stopping rule Stop", "metric": "metric Count", "loader": "loader Order",
            "observer": "observer Watch", "schedule": "schedule Rate"}[who]  # fmt: skip
    is_refused = engine == "linear" and who == "loader"
    refused = "|holds parameters of the model|hides its state" if is_refused else ""
    with pytest.raises(gd.UserError, match=f"{name}: changes the run's{refused}"):
        trainer(engine, who=who, what=what).fit()


@pytest.mark.slow
def test_an_attribute_that_is_annealed_ends_the_run_when_it_is_compiled():
    class Annealed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.outer, self.scale = nn.Linear(3, 4), nn.Linear(4, 1), 1.0

        def forward(self, x):
            return self.outer(torch.tanh(self.inner(x) / self.scale))

    with pytest.raises(gd.UserError, match=r"stopping rule Stop: changes the run's model\.scale"):
        trainer("compiled", who="stopping", what="the model", model=Annealed()).fit()


class Winsorised(gd.Metric):
    task = "regression"

    def __call__(self, predicted, targets):
        targets[targets.abs() > 5] *= 0.5
        return (predicted - targets).abs().mean()


class Clipped(gd.SumMetric):
    task = "regression"
    sums = (lambda predicted, targets: predicted.clamp_(-0.01, 0.01).sum(),)

    def from_sums(self, sums, rows):
        return sums[0]


@pytest.mark.parametrize("engine", ["eager", "linear"])
@pytest.mark.parametrize("metric", [Winsorised, Clipped])
def test_a_metric_computes_on_copies(metric, engine):
    data = dataset()
    before = data.train.targets.clone()
    with pytest.raises(gd.UserError, match=f"metric {metric.__name__}: changes the run's"):
        trainer(engine, data=data, metrics=[metric()]).fit()
    assert torch.equal(data.train.targets, before)


def test_components_that_leave_the_run_alone_are_welcome():
    class Quiet(Stop):
        def follow(self, memory, end):
            memory["seen"] = end.epoch
            self.act = lambda: None
            return False

    ends = []
    for engine in ("eager", "linear"):
        train = trainer(engine, stopping=[Quiet(None)], metrics=[Count(lambda: None)])
        train.fit()
        ends.append(train.run.parameters()["weight"].clone())
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-10, atol=0)
