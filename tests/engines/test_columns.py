"""NumPy executes recorded update rules with the same results as PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import gdframe as gd
from gdframe.engines.columns import Columns, RecordedColumns, columns

RULES: list[tuple[type[gd.Optimizer], dict[str, Any]]] = [
    (gd.GD, {}),
    (gd.Momentum, {"beta": 0.8}),
    (gd.Nesterov, {"beta": 0.8}),
    (gd.Adagrad, {}),
    (gd.RMSprop, {}),
    (gd.Adam, {}),
]


class Clamped(gd.Optimizer):
    """Uses operations that NumPy writes differently: where, maximum, sign, square root."""

    def __init__(self, params: Any, lr: float, floor: float = 0.1) -> None:
        super().__init__(params, {"lr": lr, "floor": floor})

    @staticmethod
    def init_state(params):
        return {"largest": [torch.zeros_like(p) for p in params]}

    @staticmethod
    def update(params, grads, state, hyper):
        largest = [torch.maximum(m, g.abs()) for m, g in zip(state["largest"], grads, strict=True)]
        moved = [
            torch.where(m > hyper["floor"], p - hyper["lr"] * g / m.sqrt(), p - g.sign() * 0.01)
            for p, g, m in zip(params, grads, largest, strict=True)
        ]
        return moved, {"largest": largest}


class Normalized(gd.Optimizer):
    """Mixes coordinates, so it has no recorded form."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @staticmethod
    def update(params, grads, state, hyper):
        return [
            p - hyper["lr"] * g / (1 + g.norm()) for p, g in zip(params, grads, strict=True)
        ], state


def runs_of(
    rule: type[gd.Optimizer], settings: dict[str, Any], *, runs: int, outputs: int = 2,
    bias: bool = True, clip: bool = False, dtype: torch.dtype = torch.float64,
) -> list[gd.Problem]:  # fmt: skip
    problems = []
    for index in range(runs):
        model = gd.Linear(3, outputs, bias=bias).to(dtype)
        gd.initialize(model, gd.Normal(), seed=index)
        optimizer = rule(model.parameters(), lr=0.1 / (1 + index), **settings)
        if clip:
            optimizer.param_groups[0]["clip_norm"] = 0.5 * (1 + index)
        problems.append(gd.Problem(gd.Objective(model, gd.MSE()), optimizer, gd.Constant(), 0))
    return problems


@np.errstate(all="ignore")  # both sides of a choice are computed
def descended(stack: Columns, *, steps: int) -> list[dict[str, torch.Tensor]]:
    """Return the states after steps on the sum of squared parameters."""
    for _ in range(steps):
        stack.descend(2.0 * stack.points(), stack.rates)
    return [stack.read(run) for run in range(len(stack.runs))]


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize(("rule", "settings"), [*RULES, (Clamped, {})])
def test_recorded_steps_equal_steps_of_the_rule(rule, settings, runs, clip):
    def make() -> list[gd.Problem]:
        return runs_of(rule, settings, runs=runs, clip=clip)

    recorded, plain = columns(make()), Columns(make())
    assert isinstance(recorded, RecordedColumns)
    results, expected = descended(recorded, steps=20), descended(plain, steps=20)
    for state, reference in zip(results, expected, strict=True):
        assert state.keys() == reference.keys()
        for name in state:
            assert state[name].dtype == reference[name].dtype
            torch.testing.assert_close(state[name], reference[name], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("outputs", [1, 2])
def test_parameters_keep_their_type_and_position(outputs, bias):
    problems = runs_of(gd.Adam, {}, runs=2, outputs=outputs, bias=bias, dtype=torch.float32)
    stack = columns(problems)
    assert stack.points().shape == (2, outputs, 3 + bias)
    descended(stack, steps=3)
    stack.settle(1)
    model = problems[1].objective.model
    assert model.weight.dtype == torch.float32
    np.testing.assert_array_equal(stack.points()[1, :, :3], model.weight.detach().double().numpy())
    if bias:
        np.testing.assert_array_equal(stack.points()[1, :, 3], model.bias.detach().double().numpy())


def test_training_continues_from_a_state_that_was_read():
    def make() -> Columns:
        return columns(runs_of(gd.Adam, {}, runs=2))

    straight = descended(make(), steps=7)
    first, second = make(), make()
    for run, state in enumerate(descended(first, steps=3)):
        second.write(run, state)
    for state, expected in zip(descended(second, steps=4), straight, strict=True):
        for name in expected:
            assert torch.equal(state[name], expected[name]), name


def test_a_rule_that_mixes_coordinates_is_called_directly():
    stack = columns(runs_of(Normalized, {}, runs=2))
    assert not isinstance(stack, RecordedColumns)
    before = stack.points().copy()
    descended(stack, steps=1)
    assert (abs(stack.points()) <= abs(before)).all()
    assert (stack.points() != before).any()
