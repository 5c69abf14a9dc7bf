"""An update rule as scalar arithmetic, which NumPy executes on whole arrays."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def rule_key(settings: Mapping[str, Any]) -> str:
    """Return a key of hyperparameters, with their types, but for the learning rate."""
    rest = {name: value for name, value in settings.items() if name != "lr"}
    return repr(typed(rest))


def typed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyperparameters with their types: a rule may tell 3 from 3.0."""
    return {name: (type(value).__qualname__, value) for name, value in settings.items()}


@dataclass(frozen=True)
class Update:
    """The update of one parameter, as lines of Python arithmetic on numbers.

    Args:
        lines: assignments computed once a coordinate, from ``w`` (parameter), ``g`` (gradient),
            ``s0, s1, ...`` (states) and the step values.
        parameter: expression of the new parameter.
        states: expression of each new state.
    """

    lines: tuple[str, ...]
    parameter: str
    states: tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """An update rule that treats each coordinate separately.

    Args:
        hyper: names of the hyperparameters that may differ from run to run, in order.
        states: names of the states with a value for each coordinate, in order.
        counters: names of the states with one value for a parameter, in order. The counters of all
            parameters are equal.
        step_lines: assignments computed once a step, from ``h0, h1, ...`` (hyperparameters) and
            ``c0, c1, ...`` (counters).
        step_values: names or numbers of the step that updates use as ``u0, u1, ...``.
        new_counters: expression of each new counter.
        updates: one for each parameter, in order.
        constants: of a user's rule: the key of each choice of hyperparameters, with the values of
            the constants that ``hyper`` names.
    """

    hyper: tuple[str, ...]
    states: tuple[str, ...]
    counters: tuple[str, ...]
    step_lines: tuple[str, ...]
    step_values: tuple[str, ...]
    new_counters: tuple[str, ...]
    updates: tuple[Update, ...]
    constants: tuple[tuple[str, tuple[float, ...]], ...] = ()

    def values(self, settings: Mapping[str, Any]) -> list[float]:
        """Return the value of each name in ``hyper`` for a run's hyperparameters."""
        constants = iter(dict(self.constants)[rule_key(settings)] if self.constants else ())
        return [float(settings[n]) if n in settings else next(constants) for n in self.hyper]

    @property
    def is_uniform(self) -> bool:
        """Return whether all parameters have the same update."""
        return len(set(self.updates)) == 1

    @cached_property
    def functions(self) -> tuple[Callable[..., tuple[list[Array], Array, list[Array]]], ...]:
        """The update of each parameter as a function of arrays.

        It takes a type, the parameter, its gradient, and lists of states, counters and
        hyperparameters. It returns new counters, the new parameter and new states.
        """
        functions = {update: self._function(update) for update in set(self.updates)}
        return tuple(functions[update] for update in self.updates)

    def _function(self, update: Update) -> Callable[..., tuple[list[Array], Array, list[Array]]]:
        lines = [f"h{i} = hyper[{i}]" for i in range(len(self.hyper))]
        lines += [f"c{i} = counters[{i}]" for i in range(len(self.counters))]
        lines += self.step_lines
        lines += [f"u{i} = F({value})" for i, value in enumerate(self.step_values)]
        lines += [f"s{i} = states[{i}]" for i in range(len(self.states))]
        lines += update.lines
        lines.append(
            f"return [{', '.join(self.new_counters)}], {update.parameter}, "
            f"[{', '.join(update.states)}]"
        )
        head = "def step(dtype, w, g, states, counters, hyper):"
        first = "    F = lambda value: np.asarray(value, dtype)"
        text = "\n".join([head, first, *(f"    {line}" for line in lines)])
        tree = ast.fix_missing_locations(_Choices().visit(ast.parse(text)))
        names: dict[str, Any] = {
            "np": np, "where": np.where, "sqrt": np.sqrt, "sign": _sign, "exp": np.exp,
            "log": np.log, "tanh": np.tanh, "floor": np.floor,
        }  # fmt: skip
        exec(compile(tree, "<gdframe update rule>", "exec"), names)
        step: Callable[..., tuple[list[Array], Array, list[Array]]] = names["step"]
        return step

    def apply(
        self,
        params: Sequence[Array],
        grads: Sequence[Array],
        states: Sequence[Sequence[Array]],
        counters: Sequence[Array],
        hyper: Sequence[Any],
    ) -> tuple[list[Array], list[list[Array]], list[Array]]:
        """Return parameters, their states and the counters after one update.

        Args:
            params: an array for each parameter.
            grads: an array for each parameter.
            states: for each parameter, an array for each state.
            counters: one number for each counter.
            hyper: one number for each hyperparameter.
        """
        new_params, new_states, new_counters = [], [], list(counters)
        for function, w, g, s in zip(self.functions, params, grads, states, strict=True):
            new_counters, new_w, new_s = function(w.dtype, w, g, s, counters, hyper)
            new_params.append(np.broadcast_to(new_w, w.shape))
            new_states.append([np.broadcast_to(values, w.shape) for values in new_s])
        return new_params, new_states, new_counters


def _sign(values: Array) -> Array:
    """Return the sign as PyTorch does: 0 for NaN."""
    positive, negative = np.asarray(values) > 0, np.asarray(values) < 0
    sign: Array = positive.astype(values.dtype) - negative.astype(values.dtype)
    return sign


class _Choices(ast.NodeTransformer):
    """Rewrites ``a if test else b`` as ``where(test, a, b)``, for arrays."""

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        return ast.Call(ast.Name("where", ast.Load()), [node.test, node.body, node.orelse], [])
