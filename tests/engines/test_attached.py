"""Hooks, wrong kernels, hidden differences and late changes are noticed and refused."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

import gdframe as gd
from gdframe import objective
from gdframe.engines import together
from gdframe.engines.stack import Stack
from gdframe.engines.structure import why_step_not_update
from gdframe.engines.verification import DifferenceError, Steps, compare_steps

DATA = gd.Regression(rows=20, features=3, validation=0.0).load(dtype=torch.float64)


def run_of(model=None, rule=gd.GD, loss=None, penalty=None, schedule=None, **settings):
    model = (model or gd.Linear(3)).double()
    optimizer = rule(model.parameters(), lr=0.05, **settings)
    return gd.Problem(
        gd.Objective(model, loss or gd.MSE(), penalty), optimizer, schedule or gd.Constant(), 0
    )


def built(engine, run, loader=None, epochs=3):
    return gd.build_engine(engine, [run], DATA, loader or gd.MiniBatch(20, 5), epochs=epochs)


# attached


@pytest.mark.parametrize("attach", ["register_hook", "register_post_accumulate_grad_hook"])
@pytest.mark.parametrize("engine", [gd.LinearLoops, gd.Compiled, gd.Gram])
def test_hooks_on_a_gradient_are_noticed_in_every_run_of_a_group(engine, attach):
    runs = [run_of() for _ in range(5)]
    getattr(runs[1].objective.model.weight, attach)(lambda grad: None)
    assert engine.why_not(runs, DATA, gd.FullBatch(20)) is not None


def test_a_step_that_is_patched_on_an_instance_is_noticed():
    run = run_of()
    step = run.optimizer.step
    run.optimizer.step = lambda closure=None: step()
    assert "more in a step" in why_step_not_update(run)


def clamped(step):
    """Wrap a step; the weights are clamped after it."""

    @functools.wraps(step)
    def inner(self, closure=None):
        step(self, closure)
        for p in self.param_groups[0]["params"]:
            p.data.clamp_(-1.0, 1.0)

    return inner


def test_a_step_that_is_wrapped_is_noticed():
    run = run_of(rule=type("Rule", (gd.GD,), {"step": clamped(gd.Optimizer.step)}))
    assert "more in a step" in why_step_not_update(run)
    run = run_of()
    run.optimizer.step = clamped(gd.Optimizer.step).__get__(run.optimizer)
    assert "more in a step" in why_step_not_update(run)


@pytest.mark.parametrize("engine", [gd.LinearLoops, gd.Compiled, gd.Gram])
@pytest.mark.parametrize(
    "register",
    [
        torch.nn.modules.module.register_module_forward_hook,
        lambda hook: register_optimizer_step_post_hook(lambda *args: hook()),
    ],
    ids=["modules", "optimizers"],
)
def test_hooks_on_everything_are_noticed(engine, register):
    handle = register(lambda *args: None)
    try:
        reason = engine.why_not([run_of()], DATA, gd.FullBatch(20))
    finally:
        handle.remove()
    is_traced = engine is gd.Compiled and "module" in register.__name__  # and so, executed
    assert is_traced or reason is not None


@pytest.mark.parametrize("engine", ["linear", "gram", "compiled"])
@pytest.mark.parametrize("method", ["train", "eval"])
def test_a_model_that_switches_modes_in_its_own_way_is_refused(engine, method):
    def switch(self, *args):
        with torch.no_grad():
            self.weight.clamp_(-1.0, 1.0)
        return getattr(gd.Linear, method)(self, *args)

    model = type("Projected", (gd.Linear,), {method: switch})(3)
    loader = gd.FullBatch(20) if engine == "gram" else None
    with pytest.raises(gd.CannotExecute, match=r"linear in its parameters|its own"):
        built(engine, run_of(model), loader)


def test_torch_schedulers_do_not_count_as_a_patch():
    run = run_of()
    torch.optim.lr_scheduler.StepLR(run.optimizer, 1)
    assert why_step_not_update(run) is None


@pytest.mark.parametrize("method", ["hyper", "_store", "prepare", "apply", "initial_state"])
def test_an_override_of_a_part_of_step_is_noticed(method):
    rule = type("Rule", (gd.GD,), {method: lambda self, *args: getattr(gd.GD, method)(*args)})
    assert "more in a step" in why_step_not_update(run_of(rule=rule))


def test_a_penalty_that_overrides_only_its_value_loses_inherited_declarations():
    class Capped(gd.L2):
        def value(self, weights):
            return super().value(weights).clamp(max=0.5)

    run = run_of(penalty=Capped(strength=0.1))
    assert "not quadratic" in gd.Gram.why_not([run], DATA, gd.FullBatch(20))
    assert "no kernel" in gd.LinearLoops.why_not([run], DATA, gd.FullBatch(20))


# kernels


class FarOff(gd.MSE):
    """A kernel that is right only near the target."""

    def __call__(self, outputs, targets):
        return ((outputs - targets) ** 2).mean()

    @staticmethod
    def kernel(z: float, y: float) -> tuple[float, float]:
        error = z - y
        return error * error, 2 * error if abs(error) < 20.0 else error


class Bounded(gd.Penalty):
    def value(self, weights):
        return self.strength * sum(torch.sum(w * w) for w in weights)

    @staticmethod
    def kernel(w: float, strength: float) -> tuple[float, float]:
        return strength * w * w, 2 * strength * w if w > -5.0 else 0.0


class WithoutArguments(gd.MSE):
    def __call__(self, outputs, targets):
        return ((outputs - targets) ** 2).mean()

    @staticmethod
    def kernel(z: float, y: float, shift: float = 0.0) -> tuple[float, float]:
        return (z - y) ** 2, 2 * (z - y)


@pytest.mark.parametrize(("more", "reason"), [
    ({"loss": FarOff()}, "the kernel of its loss FarOff has another slope"),
    ({"penalty": Bounded(strength=0.1)}, "the kernel of its penalty Bounded has another slope"),
    ({"loss": WithoutArguments()}, "does not take its kernel_arguments"),
])  # fmt: skip
def test_a_kernel_that_differs_from_its_loss_or_penalty_is_refused(more, reason):
    with pytest.raises(gd.CannotExecute, match=reason):
        built("linear", run_of(**more))


# models that depend on other rows or on the number of calls


class Centred(gd.Linear):
    def design(self, features):
        return features - features.mean(dim=0)


class Running(gd.Linear):
    """Remembers the largest feature of all calls."""

    most = 1.0

    def design(self, features):
        if float(features.abs().max()) > self.most and len(features) > 10:
            self.most = float(features.abs().max())
        return features / self.most


@pytest.mark.parametrize(("engine", "loader"), [
    ("linear", gd.MiniBatch(20, 5)), ("gram", gd.FullBatch(20)),
])  # fmt: skip
def test_a_design_across_rows_is_refused(engine, loader):
    with pytest.raises(gd.CannotExecute, match=r"depends on the other rows|changes"):
        built(engine, run_of(Centred(3)), loader)


def test_auto_undoes_changes_by_its_trial_calls():
    ends = []
    for engine in ("eager", "auto"):
        run = run_of(Running(3))
        chosen = built(engine, run)
        for epoch in range(3):
            chosen.advance(epoch * 4, epoch * 4 + 4)
        ends.append((run.objective.model.weight.detach().clone(), run.objective.model.most))
    assert torch.equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


class SkipsSmall(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x):
        if self.training and len(x) > 4:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(dim=0).detach()
        return self.layer(x - self.mean)


def test_trial_calls_use_the_batch_size_of_training():
    run = run_of(SkipsSmall())
    assert "'mean'" in gd.Compiled.why_not([run], DATA, gd.MiniBatch(20, 10))


def test_a_group_is_evaluated_in_the_chunks_of_the_plain_loop(monkeypatch):
    for module in (objective, together):
        monkeypatch.setattr(module, "CHUNK", 8)
    runs = []
    for seed in range(3):
        with gd.seeded(seed, gd.Purpose.INITIALIZE):
            layers = nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 1)
        runs.append(run_of(nn.Sequential(*layers)))
    rows = runs[0].objective.encode(DATA.train)
    evaluations = together.evaluate_together(Stack(runs), {}, rows, DATA, gradient=True)
    for run, evaluation in zip(runs, evaluations, strict=True):
        expected = run.objective.evaluate(rows, DATA, gradient=True)
        assert evaluation.objective == pytest.approx(expected.objective, rel=1e-12)
        assert evaluation.gradient_norm == pytest.approx(expected.gradient_norm, rel=1e-12)


# schedules


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


# changes after an engine was built, or during training


@pytest.mark.parametrize("engine", ["linear", "gram"])
def test_a_run_uses_the_strength_that_its_penalty_has_at_the_start(engine):
    ends = []
    for name in ("eager", engine):
        model, penalty = gd.Linear(3).double(), gd.L2(strength=0.01)
        trainer = gd.Trainer(
            model, gd.MSE(), gd.GD(model.parameters(), lr=0.05), gd.FullBatch(20), DATA,
            penalty=penalty, engine=name, epochs=3,
        )  # fmt: skip
        penalty.strength = 0.5
        ends.append(trainer.fit().objective)
    assert ends[0] == pytest.approx(ends[1], rel=1e-10)


@pytest.mark.parametrize("change", [
    lambda model: model.bias.requires_grad_(False),
    lambda model: model.weight.register_hook(lambda grad: 2 * grad),
])  # fmt: skip
def test_a_change_that_makes_an_engine_unusable_is_refused(change):
    model = gd.Linear(3).double()
    trainer = gd.Trainer(
        model, gd.MSE(), gd.GD(model.parameters(), lr=0.05), gd.MiniBatch(20, 5), DATA,
        engine="linear",
    )  # fmt: skip
    change(model)
    with pytest.raises(gd.UserError, match="the run was changed after its trainer was built"):
        trainer.fit()


@pytest.mark.parametrize("engine", ["eager", "linear"])
def test_an_observer_that_changes_the_run_is_refused(engine):
    class Clamps(gd.Observer):
        def __init__(self, model):
            self.model = model

        def on_epoch(self, run):
            with torch.no_grad():
                self.model.weight.clamp_(-0.1, 0.1)

    model = gd.Linear(3).double()
    trainer = gd.Trainer(
        model, gd.MSE(), gd.GD(model.parameters(), lr=0.05), gd.MiniBatch(20, 5), DATA,
        engine=engine, observers=[Clamps(model)],
    )  # fmt: skip
    with pytest.raises(gd.UserError, match=r"observer Clamps: changes the run's model.weight"):
        trainer.fit()


# the definition


def test_each_run_of_a_group_has_its_own_encoding():
    class Smoothed(gd.MSE):
        def __init__(self, shift):
            self.shift = shift

        def __call__(self, outputs, targets):
            return ((outputs - targets) ** 2).mean()

        def encode(self, targets, dtype):
            return super().encode(targets, dtype) + self.shift

    runs = [run_of(loss=Smoothed(shift)) for shift in (0.0, 5.0)]
    group = gd.build_engine("auto", runs, DATA, gd.FullBatch(20), epochs=2)
    alone = gd.build_engine("eager", [run_of(loss=Smoothed(5.0))], DATA, gd.FullBatch(20), epochs=2)
    assert group.advance(0, 1).loss[1, 0] == alone.advance(0, 1).loss[0, 0]
    assert group.evaluate("train")[1].loss == alone.evaluate("train")[0].loss


def test_a_rule_may_assign_new_data_to_parameters():
    class Rebinds(gd.Optimizer):
        @staticmethod
        def update(params, grads, state, hyper):
            for p, g in zip(params, grads):
                p.data = p - hyper["lr"] * g
            return params, state

    x = nn.Parameter(torch.ones(2))
    x.sum().backward()
    Rebinds([x], {"lr": 0.25}).step()
    assert x.tolist() == [0.75, 0.75]


def test_a_state_is_restored_in_its_own_type():
    class Late(gd.Optimizer):
        @staticmethod
        def init_state(params):
            return {"v": [torch.zeros(p.shape) for p in params]}  # always float32

        @staticmethod
        def update(params, grads, state, hyper):
            v = [0.9 * v + g for v, g in zip(state["v"], grads)]
            return [p - hyper["lr"] * v for p, v in zip(params, v)], {"v": v}

    def fresh():
        run = run_of(gd.Linear(3), lambda p, lr: Late(p, {"lr": lr}))
        return run, built("eager", run, epochs=6)

    run, straight = fresh()
    for epoch in range(6):
        straight.advance(4 * epoch, 4 * epoch + 4)
    _, first = fresh()
    for epoch in range(3):
        first.advance(4 * epoch, 4 * epoch + 4)
    resumed_run, resumed = fresh()
    resumed.load_state(0, first.state(0))
    for epoch in range(3, 6):
        resumed.advance(4 * epoch, 4 * epoch + 4)
    assert torch.equal(run.objective.model.weight, resumed_run.objective.model.weight)


def test_a_large_parameter_does_not_hide_the_difference_of_a_small_one():
    start = {"model.weight": torch.ones(3), "model.bias": torch.tensor([2e5])}
    expected = Steps([1.0], [1.0], {"model.weight": torch.ones(3) * 0.999, **start | {}})
    expected.end["model.weight"] = torch.ones(3) * 0.9
    actual = Steps([1.0], [1.0], {**expected.end, "model.weight": torch.ones(3) * 0.5})
    compare_steps(expected, expected, start)
    with pytest.raises(DifferenceError, match=r"model\.weight"):
        compare_steps(actual, expected, start)
