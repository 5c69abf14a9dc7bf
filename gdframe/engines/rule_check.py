"""Comparisons of an update rule in another form with the rule, from random values.

A rule may tell a hyperparameter that is a Python number from a tensor, and 3 from 3.0, and it may
change its formula late. So it is compared with the hyperparameters as they are, and far from its
start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from gdframe.engines.base import Problem
from gdframe.engines.nodes import NotElementwiseError
from gdframe.engines.problem_state import trained_parameters
from gdframe.engines.rate_arithmetic import RefuseRateArithmetic
from gdframe.engines.rates_of_runs import rates_of_runs
from gdframe.engines.rule import Rule, rule_key
from gdframe.engines.stack import Stack, settings_of
from gdframe.engines.verification import DifferenceError
from gdframe.optimizers.base import Optimizer, State
from gdframe.registry import is_built_in
from gdframe.schedules import Clock
from gdframe.schedules.constant import is_constant


def distinct(settings: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the first place of each choice of hyperparameters, but for the learning rate."""
    places: dict[str, int] = {}
    for place, hyper in enumerate(settings):
        places.setdefault(rule_key(hyper), place)
    return list(places.values())


TRIALS, UPDATES = 3, 3
"""Number of trials in a comparison of a recorded rule with the rule, and updates in each."""

LATE = tuple(2.0**power for power in range(1, 26))
"""Values of counters in further trials: a user's rule may change its formula late."""


@np.errstate(all="ignore")
@torch.no_grad()
def compare(
    rule: Rule,
    optimizer: type[Optimizer],
    hyper: Mapping[str, Any],
    params: Sequence[Tensor],
    initial: State,
) -> None:
    """Compare a recorded rule with the optimizer's ``update``, from random values.

    A user's rule is compared with its hyperparameters as they are, but for the learning rate.

    Args:
        rule: the recorded rule.
        optimizer: the optimizer's class.
        hyper: its hyperparameters.
        params: tensors of the shapes and types that the rule was recorded on.
        initial: the state before the first update.

    Raises:
        NotElementwiseError: the results differ by more than rounding.
    """
    is_own = is_built_in(optimizer)
    scaled = [name for name in rule.hyper if is_own or name == "lr"]
    for trial in range(TRIALS):
        draw = _Draws(trial)
        points = [draw(p) for p in params]
        state = {k: [v.clone() for v in values] for k, values in initial.items()}
        if trial:  # the first trial begins with the initial state
            for name in rule.states:
                state[name] = [draw(v).abs() if trial == 1 else draw(v) for v in state[name]]
            for name in rule.counters:
                state[name] = [torch.full_like(v, float(trial)) for v in state[name]]
        factor = 1.0 - 0.1 * trial
        settings = {**hyper, **{name: float(hyper[name]) * factor for name in scaled}}
        for _ in range(UPDATES):
            points, state = _compare_update(rule, optimizer, settings, points, state, draw)
    for trial, count in enumerate(() if is_own or not initial else LATE):
        draw = _Draws(trial)
        size = count if trial % 2 else 1.0
        state = {k: [v.clone() for v in values] for k, values in initial.items()}
        state |= {name: [draw(v).abs() * size for v in state[name]] for name in rule.states}
        for name in rule.counters:
            state[name] = [torch.full_like(v, count) for v in state[name]]
        _compare_update(rule, optimizer, hyper, [draw(p) for p in params], state, draw)


class _Draws:
    """Random tensors of the shapes and types of others, as a function of a seed."""

    def __init__(self, seed: int) -> None:
        self._random = torch.Generator().manual_seed(seed)

    def __call__(self, like: Tensor) -> Tensor:
        values = torch.randn(like.shape, generator=self._random, dtype=torch.float64)
        return values.to(like.dtype)


def _compare_update(
    rule: Rule,
    optimizer: type[Optimizer],
    settings: Mapping[str, Any],
    points: list[Tensor],
    state: State,
    draw: _Draws,
) -> tuple[list[Tensor], State]:
    """Compare one update with random gradients; return the parameters and states after it."""
    allowed = 1e-9 if points[0].dtype == torch.float64 else 1e-4
    grads = [draw(p) for p in points]
    recorded = rule.apply(
        [p.numpy() for p in points],
        [g.numpy() for g in grads],
        [[state[name][i].numpy() for name in rule.states] for i in range(len(points))],
        [state[name][0].numpy() for name in rule.counters],
        rule.values(settings),
    )
    old = {k: [v.clone() for v in values] for k, values in state.items()}
    after, changed = optimizer.update(
        [p.clone() for p in points], [g.clone() for g in grads], old, dict(settings)
    )
    changed = {**old, **changed}
    pairs = [
        (f"parameter {i}", a, b) for i, (a, b) in enumerate(zip(recorded[0], after, strict=True))
    ]
    pairs += [
        (f"state '{name}'", recorded[1][i][at], changed[name][i])
        for at, name in enumerate(rule.states)
        for i in range(len(points))
    ]
    pairs += [
        (f"counter '{name}'", recorded[2][at], value)
        for at, name in enumerate(rule.counters)
        for value in changed[name]
    ]
    for what, actual, expected in pairs:
        if not is_close(np.asarray(actual), expected.numpy(), allowed):
            raise NotElementwiseError(f"recorded as arithmetic, its {what} differs")
    copies = {k: [v.detach().clone() for v in values] for k, values in changed.items()}
    return [p.detach().clone() for p in after], copies


def is_close(actual: Any, expected: Any, allowed: float) -> bool:
    """Return whether arrays differ by at most ``allowed`` times the largest finite value."""
    finite = np.isfinite(expected)
    if not np.array_equal(finite, np.isfinite(actual)):
        return False
    if not np.array_equal(actual[~finite], expected[~finite], equal_nan=True):
        return False
    size = np.abs(expected[finite]).max(initial=0.0)
    return bool((np.abs(actual[finite] - expected[finite]) <= allowed * size).all())


@torch.no_grad()
def compare_at_rates(rule: Rule, runs: Sequence[Problem], clock: Clock, initial: State) -> None:
    """Compare a recorded rule with a user's rule at learning rates that the runs will have.

    Args:
        rule: the recorded rule.
        runs: which share it.
        clock: of the runs.
        initial: the state before the first update.

    Raises:
        DifferenceError: the results differ by more than rounding.
    """
    optimizer = runs[0].optimizer
    assert isinstance(optimizer, Optimizer)
    settings = settings_of(runs)
    params = [p.detach().cpu() for p in trained_parameters(runs[0]).values()]
    for trial, (run, lr) in enumerate(rates_of_runs(runs, clock)):
        draw = _Draws(trial)
        state = {k: [v.clone() for v in values] for k, values in initial.items()}
        state |= {name: [draw(v).abs() for v in state[name]] for name in rule.states}
        points = [draw(p) for p in params]
        try:
            hyper = {**settings[run], "lr": lr}
            _compare_update(rule, type(optimizer), hyper, points, state, draw)
        except NotElementwiseError as error:
            raise DifferenceError(f"{error} at the learning rate {lr:g}") from None


@torch.no_grad()
def check_together(stack: Stack, clock: Clock) -> None:
    """Compare a user's rule on the tensors of a stack with each run's own update.

    In a stack, hyperparameters that differ between runs, and learning rates, are tensors.

    Raises:
        DifferenceError: the results differ by more than rounding, or may at other learning rates.
    """
    if is_built_in(stack.rule):
        return
    settings = settings_of(stack.runs)
    chosen = [(run, float(settings[run]["lr"])) for run in distinct(settings)]
    for trial, count in enumerate((1.0, *LATE)):
        _compare_together(stack, settings, chosen, trial, count)
    _compare_together(stack, settings, rates_of_runs(stack.runs, clock), 0, 1.0)


def _compare_together(
    stack: Stack,
    settings: Sequence[Mapping[str, Any]],
    chosen: Sequence[tuple[int, float]],
    trial: int,
    count: float,
) -> None:
    """Compare an update of some runs, each at a learning rate, with their own updates."""
    draw, runs = _Draws(trial), [run for run, _ in chosen]
    varying = {name: values[runs].cpu() for name, values in stack.varying.items()}
    varying["lr"] = torch.tensor([lr for _, lr in chosen], dtype=torch.float64)
    like = [p[runs].cpu() for p in stack.params]
    params, grads = [draw(p) for p in like], [draw(p) for p in like]
    state = {
        name: [_late(draw, v[runs].cpu(), count, is_scaled=trial % 2 == 1) for v in values]
        for name, values in stack.state.items()
    }
    copies = tree_map(torch.clone, (params, grads, state, varying))  # the rule may write to them
    step = _checked_step(stack)
    if len(stack.runs) == 1:
        results = [step(*_of_run(copies, place)) for place in range(len(chosen))]
    else:
        together = torch.vmap(step)(*copies)
        results = [_of_run(together, place) for place in range(len(chosen))]
    for place, ((run, lr), after) in enumerate(zip(chosen, results, strict=True)):
        w, g, s = tree_map(torch.clone, _of_run((params, grads, state), place))
        expected = tree_leaves(stack.rule.apply(w, g, s, {**settings[run], "lr": lr}))
        for value, reference in zip(tree_leaves(after), expected, strict=True):
            allowed = 1e-9 if reference.dtype == torch.float64 else 1e-4
            if not is_close(value.double().numpy(), reference.double().numpy(), allowed):
                raise DifferenceError(
                    "its update differs where hyperparameters are tensors, or runs are together"
                )


def _checked_step(stack: Stack) -> Callable[..., Any]:
    """Return the update of one run, with a check of its arithmetic where learning rates differ."""
    rates = {float(run.optimizer.param_groups[0]["lr"]) for run in stack.runs}
    if len(rates) == 1 and all(is_constant(run.schedule) for run in stack.runs):
        return stack.one_run

    def checked(params: Any, grads: Any, state: Any, varying: Mapping[str, Tensor]) -> Any:
        with RefuseRateArithmetic(varying):
            return stack.one_run(params, grads, state, varying)

    return checked


def _late(draw: _Draws, like: Tensor, count: float, *, is_scaled: bool) -> Tensor:
    """Return random values of a state for each run, (runs, ...), after about ``count`` updates."""
    if like.dtype == torch.bool:
        return draw(torch.zeros(like.shape)) > 0
    if not like.is_floating_point():
        return torch.full_like(like, min(count, torch.iinfo(like.dtype).max))
    if like.ndim == 1:
        return torch.full_like(like, count)
    return draw(like).abs() * (count if is_scaled else 1.0)


def _of_run(tree: Any, place: int) -> Any:
    """Return the values of one run."""
    return tree_map(lambda value: value[place], tree)
