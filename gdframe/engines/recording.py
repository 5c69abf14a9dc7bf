"""The recording of an update rule as scalar arithmetic, and its comparison with the rule.

The pure function ``update`` is called once, on tensors with the shapes and types of the run's
parameters but without values. Values that depend on hyperparameters and counters alone are computed
once a step; values that depend on a coordinate, once a coordinate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from gdframe.engines.base import Problem
from gdframe.engines.nodes import SHARED, Node, NotElementwiseError
from gdframe.engines.problem_state import starting_state, trained_parameters
from gdframe.engines.recorder import Recorder
from gdframe.engines.rule import Rule, Update
from gdframe.engines.stack import settings_of
from gdframe.engines.structure import is_number
from gdframe.engines.symbol import Symbol
from gdframe.optimizers.base import Optimizer, State
from gdframe.registry import is_built_in

_built_in_rules: dict[Any, Rule] = {}
"""Recorded rules of built-in optimizers, by class and by the parameters' shapes and types."""

_rules: WeakKeyDictionary[Optimizer, tuple[Any, Rule]] = WeakKeyDictionary()
"""The last recorded rule of each other optimizer, with its settings and shapes."""


def rule_of(runs: Sequence[Problem]) -> Rule:
    """Return the update rule that runs share as scalar arithmetic, compared with the rule.

    Hyperparameters become variables. Where the rule needs them as plain numbers, as in a condition,
    the hyperparameters that all runs share become constants, except for the learning rate.

    Raises:
        NotElementwiseError: the rule mixes coordinates, or an operation has no scalar form.
    """
    optimizer = runs[0].optimizer
    assert isinstance(optimizer, Optimizer)
    rule = type(optimizer)
    settings = settings_of(runs)
    params = [p.detach().cpu() for p in trained_parameters(runs[0]).values()]
    numbers = [n for n, value in settings[0].items() if is_number(value) and n != "clip_norm"]
    shapes = tuple((p.shape, p.dtype) for p in params)
    if is_built_in(rule):  # these rules need no constants
        if (rule, shapes) not in _built_in_rules:
            _built_in_rules[rule, shapes] = _record_and_compare(
                runs[0], settings[0], params, numbers
            )
        return _built_in_rules[rule, shapes]
    cached = _rules.get(optimizer)
    if cached is not None and cached[0] == (settings, shapes):
        return cached[1]
    try:
        recorded = _record_and_compare(runs[0], settings[0], params, numbers)
    except NotElementwiseError:
        equal = {n for n in numbers if all(values[n] == settings[0][n] for values in settings)}
        varying = [name for name in numbers if name == "lr" or name not in equal]
        if varying == numbers:
            raise
        recorded = _record_and_compare(runs[0], settings[0], params, varying)
    _rules[optimizer] = ((settings, shapes), recorded)
    return recorded


def _record_and_compare(
    run: Problem, hyper: Mapping[str, Any], params: Sequence[Tensor], varying: Sequence[str]
) -> Rule:
    """Return a run's update rule as scalar arithmetic, compared with the rule."""
    rule, state = type(run.optimizer), starting_state(run)
    assert issubclass(rule, Optimizer)
    initial = {name: [_on_cpu(v) for v in values] for name, values in state.items()}
    recorded = record(rule, hyper, params, initial, varying=varying)
    compare(recorded, rule, hyper, params, initial)
    return recorded


def _on_cpu(value: Any) -> Any:
    return value.detach().cpu() if isinstance(value, Tensor) else value


class Writer:
    """Writes the nodes of a recording as lines of code; equal values are computed once."""

    def __init__(self) -> None:
        self.step_lines: list[str] = []
        self.step_values: list[str] = []
        self._step_names: dict[str, str] = {}

    def begin(self) -> None:
        """Begin the lines of another parameter."""
        self.lines: list[str] = []
        self._names: dict[str, str] = {}
        self._done: dict[int, str] = {}

    def name(self, node: Node) -> str:
        """Return a node's name in later lines of its kind; write the lines that compute it."""
        if id(node) in self._done:
            return self._done[id(node)]
        texts = [
            self.carried(operand) if node.is_coordinate else self.name(operand)
            for operand in node.operands
        ]
        text = node.text(*texts)
        if node.operands and text not in texts:
            names = self._names if node.is_coordinate else self._step_names
            if text not in names:
                lines = self.lines if node.is_coordinate else self.step_lines
                names[text] = f"{'v' if node.is_coordinate else 't'}{len(lines)}"
                lines.append(f"{names[text]} = {text}")
            text = names[text]
        self._done[id(node)] = text
        return text

    def carried(self, node: Node) -> str:
        """Return a node's name in a coordinate's lines; the node may be a value of the step."""
        text = self.name(node)
        if node.is_coordinate or node.number is not None:
            return text
        if node.dtype == torch.bool:
            return f"({self._value(f'1.0 if {text} else 0.0')} > F(0.5))"
        return self._value(text)

    def _value(self, text: str) -> str:
        """Return the name of an expression of the step in a coordinate's lines."""
        if text not in self.step_values:
            self.step_values.append(text)
        return f"u{self.step_values.index(text)}"


def record(
    optimizer: type[Optimizer],
    hyper: Mapping[str, Any],
    params: Sequence[Tensor],
    initial: State,
    *,
    varying: Sequence[str],
) -> Rule:
    """Return an update rule as scalar arithmetic.

    Args:
        optimizer: the optimizer's class.
        hyper: its hyperparameters.
        params: tensors of the shapes and types of the trained parameters.
        initial: the state before the first update.
        varying: names of the hyperparameters that become variables; others become constants.

    Raises:
        NotElementwiseError: the rule mixes coordinates, or an operation has no scalar form.
    """
    dtype = params[0].dtype
    states, counters = _sorted_states(initial, params)
    with Recorder(dtype) as recorder:
        symbol = recorder.symbol
        indices = range(len(params))
        w = [symbol("w", i, params[i], is_coordinate=True) for i in indices]
        g = [symbol("g", i, params[i], is_coordinate=True) for i in indices]
        state: State = {}
        for name in initial:
            is_state = name in states
            at = (states if is_state else counters).index(name)
            text = f"{'s' if is_state else 'c'}{at}"
            state[name] = [
                symbol(text, i, v, is_coordinate=is_state) for i, v in enumerate(initial[name])
            ]
        zero = torch.zeros((), dtype=torch.float64)
        numbers = {
            name: symbol(f"h{i}", SHARED, zero, is_coordinate=False)
            for i, name in enumerate(varying)
        }
        settings = {k: v for k, v in hyper.items() if k != "clip_norm"} | numbers
        try:
            old: State = {name: list(values) for name, values in state.items()}
            after, changed = optimizer.update(list(w), list(g), old, settings)
            changed = {**state, **changed}
            if changed.keys() != state.keys():
                extra = ", ".join(sorted(changed.keys() - state.keys()))
                raise NotElementwiseError(f"its state '{extra}' is not in init_state")
            ends = {
                name: [
                    _end(recorder, v, like) for v, like in zip(changed[name], values, strict=True)
                ]
                for name, values in state.items()
            }
            points = [_end(recorder, v, like) for v, like in zip(after, w, strict=True)]
        except NotElementwiseError:
            raise
        except Exception as error:  # a rule may raise anything on tensors without values
            raise NotElementwiseError(f"it fails on tensors without values ({error})") from error
    writer, updates, counted = Writer(), [], set()
    for i in range(len(params)):
        nodes = [points[i], *(ends[name][i] for name in (*states, *counters))]
        if any(node.owner not in (i, SHARED) for node in nodes):
            raise NotElementwiseError("it combines different parameters")
        writer.begin()
        counted.add(tuple(writer.name(ends[name][i]) for name in counters))
        values = [writer.carried(node) for node in nodes[: 1 + len(states)]]
        updates.append(Update(tuple(writer.lines), values[0], tuple(values[1:])))
    if len(counted) > 1:
        raise NotElementwiseError("it counts differently for different parameters")
    return Rule(
        hyper=tuple(varying),
        states=tuple(states),
        counters=tuple(counters),
        step_lines=tuple(writer.step_lines),
        step_values=tuple(writer.step_values),
        new_counters=counted.pop(),
        updates=tuple(updates),
    )


def _sorted_states(initial: State, params: Sequence[Tensor]) -> tuple[list[str], list[str]]:
    """Return the names of states with a value for each coordinate, and of counters."""
    states, counters = [], []
    for name, values in initial.items():
        if any(not isinstance(value, Tensor) for value in values):
            raise NotElementwiseError(f"its state '{name}' is not one tensor for each parameter")
        if all(v.shape == p.shape for v, p in zip(values, params, strict=True)):
            if any(v.dtype != p.dtype for v, p in zip(values, params, strict=True)):
                raise NotElementwiseError(f"its state '{name}' is not of the parameters' type")
            states.append(name)
        elif all(v.ndim == 0 for v in values):
            if any(v.dtype != torch.float64 for v in values):
                raise NotElementwiseError(
                    f"its counter '{name}' is of type {values[0].dtype}, not float64"
                )
            counters.append(name)
        else:
            raise NotElementwiseError(f"its state '{name}' has another shape than its parameter")
    return states, counters


def _end(recorder: Recorder, value: Any, like: Tensor) -> Node:
    """Return the node of a new parameter or state."""
    if not isinstance(value, Symbol):
        if isinstance(value, Tensor) and value.shape == like.shape and value.dtype == like.dtype:
            return recorder._cast(recorder._constant(value), like)
        raise NotElementwiseError("it returns a value that does not depend on its arguments")
    if value.shape != like.shape or value.dtype != like.dtype:
        raise NotElementwiseError(
            f"it returns {value.dtype} of shape {tuple(value.shape)} for {like.dtype} of shape "
            f"{tuple(like.shape)}"
        )
    return recorder._cast(value.place.node, like)


TRIALS, UPDATES = 3, 3
"""Number of trials in a comparison of a recorded rule with the rule, and updates in each."""


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

    Args:
        rule: the recorded rule.
        optimizer: the optimizer's class.
        hyper: its hyperparameters.
        params: tensors of the shapes and types that the rule was recorded on.
        initial: the state before the first update.

    Raises:
        NotElementwiseError: the results differ by more than rounding.
    """
    allowed = 1e-9 if params[0].dtype == torch.float64 else 1e-4
    for trial in range(TRIALS):
        random = torch.Generator().manual_seed(trial)

        def draw(like: Tensor, random: torch.Generator = random) -> Tensor:
            return torch.randn(like.shape, generator=random, dtype=torch.float64).to(like.dtype)

        points = [draw(p) for p in params]
        state = {k: [v.clone() for v in values] for k, values in initial.items()}
        if trial:  # the first trial begins with the initial state
            for name in rule.states:
                state[name] = [draw(v).abs() if trial == 1 else draw(v) for v in state[name]]
            for name in rule.counters:
                state[name] = [torch.full_like(v, float(trial)) for v in state[name]]
        settings = dict(hyper)
        for name in rule.hyper:
            settings[name] = float(hyper[name]) * (1.0 if trial == 0 else 1.0 - 0.1 * trial)
        for _ in range(UPDATES):
            grads = [draw(p) for p in points]
            recorded = rule.apply(
                [p.numpy() for p in points],
                [g.numpy() for g in grads],
                [[state[name][i].numpy() for name in rule.states] for i in range(len(points))],
                [state[name][0].numpy() for name in rule.counters],
                [settings[name] for name in rule.hyper],
            )
            old = {k: [v.clone() for v in values] for k, values in state.items()}
            after, changed = optimizer.update(
                [p.clone() for p in points], [g.clone() for g in grads], old,
                {k: v for k, v in settings.items() if k != "clip_norm"},
            )  # fmt: skip
            changed = {**old, **changed}
            pairs = [
                (f"parameter {i}", a, b)
                for i, (a, b) in enumerate(zip(recorded[0], after, strict=True))
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
            points = [p.detach().clone() for p in after]
            state = {k: [v.detach().clone() for v in values] for k, values in changed.items()}


def is_close(actual: Any, expected: Any, allowed: float) -> bool:
    """Return whether arrays differ by at most ``allowed`` times the largest finite value."""
    finite = np.isfinite(expected)
    if not np.array_equal(finite, np.isfinite(actual)):
        return False
    if not np.array_equal(actual[~finite], expected[~finite], equal_nan=True):
        return False
    size = np.abs(expected[finite]).max(initial=0.0)
    return bool((np.abs(actual[finite] - expected[finite]) <= allowed * size).all())
