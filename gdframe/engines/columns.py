"""Weights and biases of R linear models as one array of columns, for steps from XᵀX.

On the CPU, NumPy executes an elementwise update rule from its recorded arithmetic, because calls on
small arrays cost several times less than PyTorch's. Any other update rule is called directly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.engines.base import Problem
from gdframe.engines.expansion import Array, as_array
from gdframe.engines.nodes import NotElementwiseError
from gdframe.engines.recorded_rule import check_rates, rule_of
from gdframe.engines.stack import Stack
from gdframe.schedules import Clock


class Columns(Stack):
    """A stack of linear models with parameters and gradients as columns.

    Args:
        runs: their models have ``weight`` (outputs, features) and perhaps ``bias`` (outputs,).

    Attributes:
        width: number of features; a bias is one more column.
    """

    def __init__(self, runs: Sequence[Problem]) -> None:
        super().__init__(runs)
        self.width = self.params[0].shape[2]

    def points(self) -> Array:
        """Return parameters in float64, (runs, outputs, columns), valid until the next update."""
        self._points[..., : self.width] = self.params[0]
        if len(self.params) == 2:
            self._points[..., -1] = self.params[1]
        return as_array(self._points)

    @cached_property
    def _points(self) -> Tensor:
        shape = (*self.params[0].shape[:2], self.width + len(self.params) - 1)
        return torch.zeros(shape, dtype=torch.float64, device=self.params[0].device)

    def descend(self, gradient: Array, rates: NDArray[np.float64] | Tensor) -> None:
        """Apply the rule once, to gradients (runs, outputs, columns) with rates (runs,)."""
        whole = torch.as_tensor(gradient).to(self.params[0].dtype)
        # contiguous as those of the plain loop, where flatten() is a view that a rule may write to
        parts = [whole[..., : self.width].contiguous(), whole[..., -1].contiguous()]
        self.update(parts[: len(self.params)], rates)


class RecordedColumns(Columns):
    """Columns of models on the CPU, which NumPy updates in place by an elementwise rule.

    Raises:
        NotElementwiseError: the update rule is not elementwise.
    """

    def __init__(self, runs: Sequence[Problem]) -> None:
        self._rule = rule_of(runs)
        if not self._rule.is_uniform:
            raise NotElementwiseError("it treats weight and bias differently")
        self._step = self._rule.functions[0]
        super().__init__(runs)
        values = np.array([self._rule.values(settings) for settings in self._settings])
        self._hyper = [column[:, None, None] for column in values.T]
        limits = [values.get("clip_norm") for values in self._settings]
        self._limits: NDArray[np.float64] | None = None
        if any(limit is not None for limit in limits):
            bounds = [np.inf if limit is None else float(limit) for limit in limits]
            self._limits = np.array(bounds)[:, None, None]

    def copy_from_modules(self) -> None:
        """Copy parameters and states from modules and optimizers, and store them as columns."""
        super().copy_from_modules()
        self._store_columns()

    def check_rates(self, clock: Clock) -> None:
        """Compare the recorded rule with a user's rule at learning rates that the runs will have.

        Raises:
            DifferenceError: the results differ by more than rounding.
        """
        check_rates(self._rule, self.runs, clock)

    def _store_columns(self) -> None:
        """Store parameters and elementwise states as columns; the stack's tensors become views."""
        self._parameter_columns = self._joined(self.params)
        self._states = [self._joined(self.state[name]) for name in self._rule.states]
        self._counters = [
            self.state[name][0].numpy().reshape(-1, 1, 1) for name in self._rule.counters
        ]
        for name, counts in zip(self._rule.counters, self._counters, strict=True):
            if any(not torch.equal(c, self.state[name][0]) for c in self.state[name]):
                raise NotElementwiseError("weight and bias have counted differently")
            self.state[name] = [torch.from_numpy(counts[:, 0, 0])] * len(self.params)

    def _joined(self, tensors: list[Tensor]) -> NDArray[Any]:
        """Return an array of the tensors of all parameters; replace the tensors by views of it."""
        parts = [t.reshape(*self.params[0].shape[:2], -1) for t in tensors]
        whole = torch.cat(parts, dim=2).contiguous()
        width = whole.shape[2] - (len(tensors) - 1)
        tensors[:] = [whole[..., :width], whole[..., -1]][: len(tensors)]
        return whole.numpy()

    def points(self) -> Array:
        """Return the parameters; a copy only where they are not in float64."""
        return self._parameter_columns.astype(np.float64, copy=False)

    @np.errstate(all="ignore")  # values that are not finite are valid results
    def descend(self, gradient: Array, rates: NDArray[np.float64] | Tensor) -> None:
        """Apply the recorded update rule once."""
        rates = np.asarray(rates)
        grads = gradient.astype(self._parameter_columns.dtype, copy=False)
        if self._limits is not None:
            norm = np.sqrt((grads * grads).sum((1, 2), keepdims=True))
            scale = np.where(norm > self._limits, self._limits / norm, 1.0)
            grads = grads * scale.astype(grads.dtype)
        hyper = [
            rates[:, None, None] if name == "lr" else values
            for name, values in zip(self._rule.hyper, self._hyper, strict=True)
        ]
        new_counters, new_parameters, new_states = self._step(
            self._parameter_columns.dtype,
            self._parameter_columns,
            grads,
            self._states,
            self._counters,
            hyper,
        )
        arrays = (*self._counters, *self._states, self._parameter_columns)
        values = [  # a value may be one of the arrays that the loop below overwrites
            value.copy() if any(value is array for array in arrays) else value
            for value in (*new_counters, *new_states, new_parameters)
        ]
        for array, value in zip(arrays, values, strict=True):
            array[...] = value

    def write(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Restore the state that ``read`` returned; the stack's tensors are views of the columns.

        Raises:
            NotElementwiseError: weight and bias have counted differently.
        """
        for name in self._rule.counters:
            counts = [state.get(f"optimizer.{i}.{name}") for i in range(len(self.params))]
            if len({None if count is None else float(count) for count in counts}) > 1:
                raise NotElementwiseError("weight and bias have counted differently")
        super().write(run, state)


def columns(runs: Sequence[Problem]) -> Columns:
    """Return the columns of runs, recorded where the update rule allows it."""
    if next(runs[0].objective.model.parameters()).device.type == "cpu":
        try:
            return RecordedColumns(runs)
        except Exception:  # the rule is not elementwise, or does not work on arrays
            return Columns(runs)
    return Columns(runs)
