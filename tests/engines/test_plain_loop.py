"""The plain loop keeps what is a run's own, and comparisons with it see every parameter."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gdframe as gd
from gdframe.engines.verification import DifferenceError, Steps, compare_steps

from .small import DATA, built, run_of


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
