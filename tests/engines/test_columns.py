"""NumPy executes recorded update rules with the same results as PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import gdframe as gd
from gdframe.engines.columns import Columns, RecordedColumns, columns
from gdframe.engines.nodes import NotElementwiseError
from gdframe.engines.stack import Stack

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
        stack.descend(2.0 * stack.points(), stack.base_rates)
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
    stack.copy_to_module(1)
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


@pytest.mark.parametrize("make", [Stack, Columns, columns])
@pytest.mark.parametrize("count", [1, 3])
def test_writing_the_states_of_all_runs_copies_the_stack_once(make, count):
    stack = make(runs_of(gd.Adam, {}, runs=count))
    if isinstance(stack, Columns):
        descended(stack, steps=1)
    else:
        stack.update([torch.ones_like(p) for p in stack.params], stack.base_rates)
    states = [stack.read(run) for run in range(count)]
    stack.write(0, {name: value + 1 for name, value in states[0].items()})
    tensors = [*stack.params, *(v for values in stack.state.values() for v in values)]
    for run in range(count):
        stack.write(run, states[run])
    after = [*stack.params, *(v for values in stack.state.values() for v in values)]
    assert all(a is b for a, b in zip(tensors, after, strict=True))
    for run in range(count):
        for name, value in stack.read(run).items():
            assert torch.equal(value, states[run][name]), name
    if isinstance(stack, Columns):
        weight = stack.points()[:, :, : stack.width]
        np.testing.assert_array_equal(weight, stack.params[0].numpy())


class Shared(gd.Optimizer):
    """Returns the gradients as parameters, and parameters as both of its states."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @staticmethod
    def init_state(params):
        return {name: [torch.zeros_like(p) for p in params] for name in ("before", "last")}

    @staticmethod
    def update(params, grads, state, hyper):
        return grads, {"before": params, "last": params}


@pytest.mark.parametrize("count", [1, 3])
def test_a_written_state_changes_no_tensor_of_others(count):
    stack = Columns(runs_of(Shared, {}, runs=count))
    grads = [torch.ones_like(p) for p in stack.params]
    stack.update(grads, stack.base_rates)
    state = {name: value + 5 * i for i, (name, value) in enumerate(stack.read(0).items())}
    stack.write(0, state)
    assert all((g == 1).all() for g in grads)
    for name, value in stack.read(0).items():
        assert torch.equal(value, state[name]), name


def test_states_whose_weight_and_bias_have_counted_differently_are_refused_unwritten():
    stack = columns(runs_of(gd.Adam, {}, runs=2))
    assert isinstance(stack, RecordedColumns)
    before = stack.read(0)
    counters = [n for n, v in before.items() if n.startswith("optimizer.1.") and not v.ndim]
    changed = {n: v + 1 if n in counters or v.ndim else v for n, v in before.items()}
    with pytest.raises(NotElementwiseError, match="counted differently"):
        stack.write(0, changed)
    for name, value in stack.read(0).items():
        assert torch.equal(value, before[name]), name
