"""Hooks, wrapped methods and overrides that change a step or a model are noticed."""

from __future__ import annotations

import functools

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

import gdframe as gd
from gdframe.engines.structure import why_step_not_update

from .small import DATA, built, run_of


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
