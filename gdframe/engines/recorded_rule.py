"""The recording of an update rule as scalar arithmetic.

The pure function ``update`` is called once, on tensors with the shapes and types of the run's
parameters but without values. Values that depend on hyperparameters and counters alone are computed
once a step; values that depend on a coordinate, once a coordinate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from gdframe.engines.base import Problem
from gdframe.engines.nodes import SHARED, Node, NotElementwiseError
from gdframe.engines.problem_state import starting_state, trained_parameters
from gdframe.engines.recorder import Recorder
from gdframe.engines.rule import Rule, Update, rule_key, typed
from gdframe.engines.rule_check import compare, compare_at_rates, distinct
from gdframe.engines.stack import settings_of
from gdframe.engines.structure import is_number
from gdframe.engines.symbol import Symbol
from gdframe.hidden_state.user_code import place_that_catches_errors
from gdframe.optimizers.base import Optimizer, State
from gdframe.registry import is_built_in
from gdframe.schedules import Clock

_built_in_rules: dict[Any, Rule] = {}
"""Recorded rules of built-in optimizers, by class and by the parameters' shapes and types."""

_rules: WeakKeyDictionary[Optimizer, tuple[Any, Rule]] = WeakKeyDictionary()
"""The last recorded rule of each other optimizer, with its settings and shapes."""

MOST_COMPARED = 8
"""Most choices of hyperparameters for which a recorded rule is compared with the rule."""


def rule_of(runs: Sequence[Problem]) -> Rule:
    """Return the update rule that runs share as scalar arithmetic, compared with the rule.

    The learning rate is a variable, and so are all numbers of a built-in rule. Another rule is
    recorded with each choice of hyperparameters as they are; constants that differ between the
    recordings, or may come from hyperparameters, become variables.

    Raises:
        NotElementwiseError: the rule mixes coordinates, an operation has no scalar form, or
            hyperparameters change the formula.
    """
    optimizer = runs[0].optimizer
    assert isinstance(optimizer, Optimizer)
    rule = type(optimizer)
    settings = settings_of(runs)
    params = [p.detach().cpu() for p in trained_parameters(runs[0]).values()]
    shapes = tuple((p.shape, p.dtype) for p in params)
    if is_built_in(rule):
        if (rule, shapes) not in _built_in_rules:
            numbers = [n for n, v in settings[0].items() if is_number(v) and n != "clip_norm"]
            initial = _initial_state(runs[0])
            recorded = Recording(rule, settings[0], params, initial, numbers).rule()
            compare(recorded, rule, settings[0], params, initial)
            _built_in_rules[rule, shapes] = recorded
        return _built_in_rules[rule, shapes]
    cached, key = _rules.get(optimizer), (list(map(typed, settings)), shapes)
    if cached is not None and cached[0] == key:
        return cached[1]
    if (place := place_that_catches_errors({"optimizer": rule})) is not None:
        raise NotElementwiseError(f"it catches errors, in {place}, and the recorder raises its own")
    initial, chosen = _initial_state(runs[0]), [settings[i] for i in distinct(settings)]
    recordings = [Recording(rule, hyper, params, initial, ["lr"]) for hyper in chosen]
    recorded = _unified(recordings, [rule_key(hyper) for hyper in chosen])
    for hyper in chosen[:: -(-len(chosen) // MOST_COMPARED)]:
        compare(recorded, rule, hyper, params, initial)
    _rules[optimizer] = (key, recorded)
    return recorded


def check_rates(rule: Rule, runs: Sequence[Problem], clock: Clock) -> None:
    """Compare the recorded rule of runs with a user's rule at rates that they will have.

    Raises:
        DifferenceError: the results differ by more than rounding.
    """
    if not is_built_in(type(runs[0].optimizer)):
        compare_at_rates(rule, runs, clock, _initial_state(runs[0]))


def _is_plain(number: float) -> bool:
    """Return whether a constant is one that formulas are written with, such as 0, 1, 2 or 0.5."""
    return not math.isfinite(number) or (abs(number) <= 16 and (4 * number).is_integer())


def _initial_state(run: Problem) -> State:
    return {name: [_on_cpu(v) for v in values] for name, values in starting_state(run).items()}


def _unified(recordings: Sequence[Recording], keys: Sequence[str]) -> Rule:
    """Return one rule for recordings of one formula, whose constants may differ.

    Constants that may come from hyperparameters become variables even where they are equal, so that
    rules with other values share what was compiled.

    Raises:
        NotElementwiseError: they have different formulas.
    """
    formulas, constants = zip(*(recording.formula() for recording in recordings), strict=True)
    if any(formula != formulas[0] for formula in formulas):
        raise NotElementwiseError("its hyperparameters change its formula")
    columns: dict[tuple[float, ...], int] = {}
    lifted: dict[int, str] = {}
    for nodes in zip(*constants, strict=True):
        values = tuple(node.number for node in nodes)
        if len(set(map(repr, values))) > 1 or not _is_plain(values[0]):
            lifted[id(nodes[0])] = f"h{1 + columns.setdefault(values, len(columns))}"
    rows = zip(*columns, strict=True) if columns else [()] * len(keys)
    return replace(
        recordings[0].rule(lifted),
        hyper=("lr", *(f"constant {place}" for place in range(len(columns)))),
        constants=tuple(zip(keys, rows, strict=True)),
    )


def _on_cpu(value: Any) -> Any:
    return value.detach().cpu() if isinstance(value, Tensor) else value


class Writer:
    """Writes the nodes of a recording as lines of code; equal values are computed once.

    Args:
        name_constant: returns the name of a constant that is a variable of the step, or None.
    """

    def __init__(self, name_constant: Callable[[Node], str | None]) -> None:
        self._name_constant = name_constant
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
        if node.number is not None and (constant := self._name_constant(node)) is not None:
            return self._value(constant) if node.is_coordinate else constant
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
        if node.is_coordinate or (node.number is not None and self._name_constant(node) is None):
            return text
        if node.dtype == torch.bool:
            return f"({self._value(f'1.0 if {text} else 0.0')} > F(0.5))"
        return self._value(text)

    def _value(self, text: str) -> str:
        """Return the name of an expression of the step in a coordinate's lines."""
        if text not in self.step_values:
            self.step_values.append(text)
        return f"u{self.step_values.index(text)}"


class Recording:
    """The values that an update rule computes from its arguments.

    Args:
        optimizer: the optimizer's class.
        hyper: its hyperparameters.
        params: tensors of the shapes and types of the trained parameters.
        initial: the state before the first update.
        varying: names of the hyperparameters that become variables; others become constants.

    Raises:
        NotElementwiseError: the rule mixes coordinates, or an operation has no scalar form.
    """

    def __init__(
        self,
        optimizer: type[Optimizer],
        hyper: Mapping[str, Any],
        params: Sequence[Tensor],
        initial: State,
        varying: Sequence[str],
    ) -> None:
        self._varying = tuple(varying)
        self._states, self._counters = states, counters = _sorted_states(initial, params)
        with Recorder(params[0].dtype) as recorder:
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
            settings = {**hyper, **numbers}
            try:
                old: State = {name: list(values) for name, values in state.items()}
                after, changed = optimizer.update(list(w), list(g), old, settings)
                changed = {**state, **changed}
                if changed.keys() != state.keys():
                    extra = ", ".join(sorted(changed.keys() - state.keys()))
                    raise NotElementwiseError(f"its state '{extra}' is not in init_state")
                ends = {
                    name: [
                        _end(recorder, v, like)
                        for v, like in zip(changed[name], values, strict=True)
                    ]
                    for name, values in state.items()
                }
                points = [_end(recorder, v, like) for v, like in zip(after, w, strict=True)]
            except NotElementwiseError:
                raise
            except Exception as error:  # a rule may raise anything on tensors without values
                reason = f"it fails on tensors without values ({error})"
                raise NotElementwiseError(reason) from error
        self._ends = [
            [points[i], *(ends[name][i] for name in (*states, *counters))] for i in indices
        ]

    def formula(self) -> tuple[Rule, list[Node]]:
        """Return the rule with its constants as names, and the constants in order."""
        constants: list[Node] = []
        names: dict[int, str] = {}

        def name(node: Node) -> str | None:
            if node.dtype == torch.bool:
                return None
            if id(node) not in names:
                names[id(node)] = f"constant_{len(constants)}"
                constants.append(node)
            return names[id(node)]

        return self._write(name)[0], constants

    def rule(self, lifted: Mapping[int, str] = MappingProxyType({})) -> Rule:
        """Return the rule; ``lifted`` names constants that are variables, by their ids."""
        rule, counts_alike = self._write(lambda node: lifted.get(id(node)))
        if not counts_alike:
            raise NotElementwiseError("it counts differently for different parameters")
        return rule

    def _write(self, name_constant: Callable[[Node], str | None]) -> tuple[Rule, bool]:
        """Return the rule, and whether the counters of all parameters have one formula."""
        writer, updates, counted = Writer(name_constant), [], []
        for i, nodes in enumerate(self._ends):
            if any(node.owner not in (i, SHARED) for node in nodes):
                raise NotElementwiseError("it combines different parameters")
            writer.begin()
            elementwise = 1 + len(self._states)
            counted.append(tuple(writer.name(node) for node in nodes[elementwise:]))
            values = [writer.carried(node) for node in nodes[:elementwise]]
            updates.append(Update(tuple(writer.lines), values[0], tuple(values[1:])))
        rule = Rule(
            hyper=self._varying,
            states=tuple(self._states),
            counters=tuple(self._counters),
            step_lines=tuple(writer.step_lines),
            step_values=tuple(writer.step_values),
            new_counters=counted[0],
            updates=tuple(updates),
        )
        return rule, len(set(counted)) == 1


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
