"""Weight and bias of R linear models as one array of columns: what a step from XᵀX works on.

On the CPU an elementwise update rule is executed by NumPy, from its recorded arithmetic: calls on
small arrays start several times sooner than PyTorch's. Any other rule is called as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.engines.base import Problem
from gdframe.engines.expansion import Array, as_array
from gdframe.engines.nodes import NotElementwiseError
from gdframe.engines.recording import rule_of
from gdframe.engines.stack import Stack, settings_of


class Columns(Stack):
    """A stack of linear models whose parameters are read, and gradients taken, as columns.

    Args:
        runs: of models with ``weight`` (outputs, features) and perhaps ``bias`` (outputs,).

    Attributes:
        width: features; a bias is one column more.
    """

    def __init__(self, runs: Sequence[Problem]) -> None:
        super().__init__(runs)
        self.width = self.params[0].shape[2]
        shape = (*self.params[0].shape[:2], self.width + len(self.params) - 1)
        self._points = torch.zeros(shape, dtype=torch.float64, device=self.params[0].device)

    def points(self) -> Array:
        """Return all parameters in float64, (runs, outputs, columns), valid until the update."""
        self._points[..., : self.width] = self.params[0]
        if len(self.params) == 2:
            self._points[..., -1] = self.params[1]
        return as_array(self._points)

    def descend(self, gradient: Array, rates: NDArray[np.float64] | Tensor) -> None:
        """Apply the rule once, with gradients (runs, outputs, columns) and rates (runs,)."""
        whole = torch.as_tensor(gradient).to(self.params[0].dtype)
        parts = [whole[..., : self.width], whole[..., -1]]
        self.update(parts[: len(self.params)], rates)


class RecordedColumns(Columns):
    """Columns of models on the CPU whose rule is elementwise, updated in place by NumPy.

    Raises:
        NotElementwiseError: the rule is not.
    """

    def __init__(self, runs: Sequence[Problem]) -> None:
        self._rule = rule_of(runs)
        if not self._rule.is_uniform:
            raise NotElementwiseError("it treats weight and bias differently")
        self._step = self._rule.functions[0]
        super().__init__(runs)
        settings = settings_of(runs)
        self._hyper = [
            np.array([float(own[name]) for own in settings])[:, None, None]
            for name in self._rule.hyper
        ]
        limits = [own.get("clip_norm") for own in settings]
        self._limits: NDArray[np.float64] | None = None
        if any(limit is not None for limit in limits):
            bounds = [np.inf if limit is None else float(limit) for limit in limits]
            self._limits = np.array(bounds)[:, None, None]

    def take_up(self) -> None:
        """Copy what modules and optimizers hold, and lay it out as columns."""
        super().take_up()
        self._lay_out()

    def _lay_out(self) -> None:
        """Hold parameters and elementwise states as columns; what is by name are views of them."""
        self._whole = self._columns(self.params)
        self._states = [self._columns(self.state[name]) for name in self._rule.states]
        self._counters = [
            self.state[name][0].numpy().reshape(-1, 1, 1) for name in self._rule.counters
        ]
        for name, counts in zip(self._rule.counters, self._counters, strict=True):
            if any(not torch.equal(own, self.state[name][0]) for own in self.state[name]):
                raise NotElementwiseError("weight and bias have counted differently")
            self.state[name] = [torch.from_numpy(counts[:, 0, 0])] * len(self.params)

    def _columns(self, tensors: list[Tensor]) -> NDArray[Any]:
        """Copy a tensor for each parameter into one array, and put views of it in their place."""
        parts = [t.reshape(*self.params[0].shape[:2], -1) for t in tensors]
        whole = torch.cat(parts, dim=2).contiguous()
        width = whole.shape[2] - (len(tensors) - 1)
        tensors[:] = [whole[..., :width], whole[..., -1]][: len(tensors)]
        return whole.numpy()

    def points(self) -> Array:
        """Return the parameters themselves where they are in float64."""
        return self._whole.astype(np.float64, copy=False)

    def descend(self, gradient: Array, rates: NDArray[np.float64] | Tensor) -> None:
        """Apply the recorded rule."""
        rates = np.asarray(rates)
        grads = gradient.astype(self._whole.dtype, copy=False)
        if self._limits is not None:
            norm = np.sqrt((grads * grads).sum((1, 2), keepdims=True))
            scale = np.where(norm > self._limits, self._limits / norm, 1.0)
            grads = grads * scale.astype(grads.dtype)
        hyper = [
            rates[:, None, None] if name == "lr" else own
            for name, own in zip(self._rule.hyper, self._hyper, strict=True)
        ]
        counted, whole, renewed = self._step(
            self._whole.dtype, self._whole, grads, self._states, self._counters, hyper
        )
        held = (*self._counters, *self._states, self._whole)
        values = [  # a value may be another one's array, which is about to be written
            value.copy() if any(value is array for array in held) else value
            for value in (*counted, *renewed, whole)
        ]
        for array, value in zip(held, values, strict=True):
            array[...] = value

    def write(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Restore what ``read`` returned."""
        super().write(run, state)
        self._lay_out()


def columns(runs: Sequence[Problem]) -> Columns:
    """Return the columns of runs, in the form that starts soonest."""
    if next(runs[0].objective.model.parameters()).device.type == "cpu":
        try:
            return RecordedColumns(runs)
        except Exception:  # it is not elementwise, or makes of arrays what it does not of tensors
            return Columns(runs)
    return Columns(runs)
