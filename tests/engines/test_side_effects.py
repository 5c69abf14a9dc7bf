"""Components that write into a run end it on every engine; what engines read stays theirs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import gdframe as gd
from gdframe.schedules.base import check_schedule, factors

SETTINGS = {"strength": 0.0}
ROWS = 64


def dataset(rows=ROWS, scale=10.0, **more):
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 3))
    y = scale * (x @ [1.0, -1.0, 2.0] + 0.1 * random.normal(size=rows))
    return gd.Dataset.from_arrays(x, y, dtype=torch.float64, **more)


class Decayed(gd.Optimizer):
    def __init__(self, params, lr, *, beta: float = 0.5):
        super().__init__(params, {"lr": lr, "beta": beta})

    @staticmethod
    def update(params, grads, state, hyper):
        rate = hyper["lr"] * (1 - hyper["beta"])
        return [p - rate * (g + SETTINGS["strength"] * p) for p, g in zip(params, grads)], state


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


class Scaled(gd.LinearModel):
    def __init__(self, features, outputs=1):
        super().__init__(features, outputs, bias=True)
        self.scale = 1.0

    def design(self, x):
        return x * self.scale


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
    }
    act = acts.get(what)
    guests = {
        "stopping": ("stopping", [Stop(act)]),
        "metric": ("metrics", [Count(act)]),
        "observer": ("observers", [Watch(act)]),
        "schedule": ("schedule", Rate(act)),
    }
    loader = Order(data.rows, act) if who == "loader" else gd.MiniBatch(data.rows, batch_size=16)
    if who in guests:
        more |= dict([guests[who]])
    return gd.Trainer(
        model, loss, rule, loader, data, penalty=penalty, engine=engine, epochs=5, **more
    )


PLACES = ["a global", "a hyperparameter", "the loss", "the penalty", "the model", "parameters"]


@pytest.mark.parametrize("engine", ["eager", "linear"])
@pytest.mark.parametrize("what", [*PLACES, "targets", "features"])
@pytest.mark.parametrize("who", ["stopping", "metric", "observer", "loader", "schedule"])
def test_whoever_writes_into_a_run_ends_it_on_every_engine(who, what, engine):
    if who in ("loader", "schedule") and what in ("targets", "features"):
        pytest.skip("the guard of these leaves the data to the check before training")
    name = {"stopping": "stopping rule Stop", "metric": "metric Count", "loader": "loader Order",
            "observer": "observer Watch", "schedule": "schedule Rate"}[who]  # fmt: skip
    with pytest.raises(gd.UserError, match=f"{name}: changes the run's"):
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


class Reads(gd.StoppingRule):
    """Ends at a weight of the module, and at a metric, that it reads by itself."""

    def __init__(self, model):
        self.model, self.seen = model, []

    def judge(self, memory, end):
        self.seen.append((self.model.weight[0, 0].item(), end.row["train/mae"]))
        return


@pytest.mark.parametrize("engine", ["linear", "gram"])
def test_a_rule_may_read_the_module_and_any_column(engine, monkeypatch):
    monkeypatch.setattr("gdframe.engines.gram.CHEAP", 10)
    seen = []
    for name in ("eager", engine):
        data, model = dataset(), gd.Linear(3).double()
        rule = Reads(model)
        gd.Trainer(
            model, gd.MSE(), gd.GD(model.parameters(), lr=0.1), gd.FullBatch(data.rows), data,
            engine=name, epochs=4, stopping=[rule],
        ).fit()  # fmt: skip
        seen.append(rule.seen)
    np.testing.assert_allclose(seen[0], seen[1], rtol=1e-9)


class NonNegative(gd.MSE):
    def predict(self, outputs):
        return outputs.clamp_(min=0)


def test_gram_measures_what_a_loss_predicts(monkeypatch):
    monkeypatch.setattr("gdframe.engines.gram.CHEAP", 10)
    histories = []
    for engine in ("eager", "gram"):
        data, model = dataset(), gd.Linear(3).double()
        histories.append(gd.Trainer(
            model, NonNegative(), gd.GD(model.parameters(), lr=0.1), gd.FullBatch(data.rows), data,
            engine=engine, epochs=4,
        ).fit().history)  # fmt: skip
    for column in ("train/r2", "train/rmse"):
        np.testing.assert_allclose(*(history[column] for history in histories), rtol=1e-9)


@pytest.mark.parametrize("engine", ["eager", "linear", "gram"])
@pytest.mark.parametrize("what", ["a global", "the model", "features", "targets", "numpy"])
def test_a_change_between_building_and_fitting_is_refused(what, engine):
    data, model = dataset(), Scaled(3).double()
    SETTINGS["strength"] = 0.0
    built = gd.Trainer(
        model, gd.MSE(), Decayed(model.parameters(), lr=0.02), gd.FullBatch(data.rows), data,
        engine=engine, epochs=3,
    )  # fmt: skip
    {
        "a global": lambda: SETTINGS.update(strength=0.5),
        "the model": lambda: setattr(model, "scale", 0.5),
        "features": lambda: data.train.features.mul_(0.5),
        "targets": lambda: data.train.targets.mul_(0.5),
        "numpy": lambda: data.train.features.numpy().__setitem__((40, 0), 7.0),
    }[what]()
    with pytest.raises(gd.UserError, match="was changed after its trainer was built"):
        built.fit()


def test_parameters_may_be_set_between_building_and_fitting():
    built = trainer("linear")
    built.run.spec.model.weight.data.fill_(3.0)
    assert built.fit().status == gd.Status.MAX_EPOCHS


class Cosines(gd.LinearModel):
    """Random Fourier features, whose frequencies are a buffer."""

    def __init__(self, features, outputs=1):
        super().__init__(8, outputs, bias=True)
        self.register_buffer("frequencies", torch.randn(features, 8, dtype=torch.float64))

    def design(self, x):
        return torch.cos(x @ self.frequencies.to(x))


def saved(engine, seed):
    torch.manual_seed(seed)
    data, model = dataset(), Cosines(3).double()
    problem = gd.Problem(
        gd.Objective(model, gd.MSE()), gd.Momentum(model.parameters(), lr=0.02), gd.Constant(), 0
    )
    loader = gd.FullBatch(data.rows)
    built = gd.build_engine(engine, [problem], data, loader, epochs=9)
    built.advance(0, 1)
    return built


@pytest.mark.parametrize("first", ["eager", "linear", "gram"])
@pytest.mark.parametrize("second", ["linear", "gram"])
def test_a_state_of_another_buffer_is_refused_by_its_name(first, second):
    state = saved(first, 0).state(0)
    with pytest.raises(gd.UserError, match="buffer 'frequencies'"):
        saved(second, 1).load_state(0, state)
    again = saved(second, 0)
    again.load_state(0, state)
    eager = saved("eager", 1)
    eager.load_state(0, again.state(0))
    again.advance(1, 2)
    eager.advance(1, 2)
    for name, value in eager.state(0).items():
        torch.testing.assert_close(again.state(0)[name], value, rtol=1e-9, atol=1e-12)


class First(gd.Schedule):
    def factor(self, epochs, clock):
        return epochs / 1.5 if epochs[0] < 1.5 else 1.5 / np.maximum(epochs, 1e-9)


class Last(gd.Schedule):
    def factor(self, epochs, clock):
        return np.full_like(epochs, 0.01 if epochs[-1] > 2.5 else 1.0)


@pytest.mark.parametrize("kind", [First, Last])
@pytest.mark.parametrize("length", [1, 7, 700, 5000])
def test_a_schedule_that_decides_for_a_whole_array_is_refused(kind, length):
    for schedule in (kind(), gd.Warmup(epochs=0.1, then=kind())):
        with pytest.raises(gd.UserError, match="for other steps at a time"):
            check_schedule(schedule, gd.Clock(length, 5), {})


class Halves(gd.Schedule):
    def factor(self, epochs, clock):
        return np.where(epochs < 1.5, 1.0, 0.5)


@pytest.mark.parametrize("length", [1, 7, 1024, 5000])
def test_blocks_change_no_factor(length):
    clock, schedule = gd.Clock(length, 3), Halves()
    check_schedule(schedule, clock, {})
    for epoch in range(3):
        begin, end = epoch * length, (epoch + 1) * length
        whole = factors([schedule], begin, end, clock)[0][0]
        np.testing.assert_array_equal(whole, schedule(np.arange(begin, end), clock))
        for cut in {begin, (begin + end) // 2, end - 1}:
            np.testing.assert_array_equal(
                factors([schedule], cut, end, clock)[0][0], whole[cut - begin :]
            )


class Walk(gd.MiniBatch):
    """Shuffles the last epoch's order again, from the second epoch on."""

    def order(self, epoch, seed):
        if epoch == 0:
            return torch.arange(self.rows)
        self.last = getattr(self, "last", torch.arange(self.rows))[
            torch.randperm(self.rows, generator=gd.generator(seed, gd.Purpose.ORDER, epoch))
        ]
        return self.last


@pytest.mark.parametrize("engine", ["eager", "linear"])
def test_an_order_that_remembers_the_last_epoch_is_refused(engine):
    data, model = dataset(), gd.Linear(3).double()
    with pytest.raises(gd.UserError, match="expected a function of \\(epoch, seed\\)"):
        gd.Trainer(
            model, gd.MSE(), gd.GD(model.parameters(), lr=0.1), Walk(data.rows, batch_size=4),
            data, engine=engine, epochs=4,
        )  # fmt: skip
