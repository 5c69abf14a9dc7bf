"""R runs of one structure as tensors with a leading axis of runs, and their update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.engines.base import Problem
from gdframe.engines.problem_state import keep_state, starting_state, trained_parameters
from gdframe.engines.structure import is_number
from gdframe.engines.untrained_values import trained_values
from gdframe.errors import UserError
from gdframe.optimizers.base import Optimizer
from gdframe.optimizers.tensors import owned, storage_of
from gdframe.registry import is_built_in
from gdframe.schedules.base import Clock, factors_of
from gdframe.schedules.constant import is_constant


class Stack:
    """Parameters, optimizer state and hyperparameters of R runs.

    Args:
        runs: runs of one structure; ``why_step_not_update`` is None for their optimizers.

    Attributes:
        base_rates: the optimizers' learning rates, before the schedules' factors, (runs,).
        names: names of the trained parameters, in order.
        params: one tensor (runs, ...) for each parameter.
        state: by name, one tensor (runs, ...) for each parameter.
    """

    def __init__(self, runs: Sequence[Problem]) -> None:
        self.runs = list(runs)
        self.rule = _rule(runs[0])
        self.names = list(trained_parameters(runs[0]))
        self.copy_from_modules()
        self._settings = settings_of(self.runs)
        self.base_rates = np.array([hyper["lr"] for hyper in self._settings], dtype=np.float64)
        self._is_constant = all(is_constant(run.schedule) for run in runs)
        self.constants: dict[str, Any] = {}
        self.varying: dict[str, Tensor] = {}
        device = self.params[0].device
        for name in (name for name in self._settings[0] if name != "lr"):
            values = [hyper[name] for hyper in self._settings]
            if name == "clip_norm" and any(value is not None for value in values):
                values = [torch.inf if value is None else value for value in values]
            are_numbers = all(is_number(value) for value in values)
            if (
                len(runs) > 1
                and are_numbers
                and (is_built_in(self.rule) or len({(type(v), v) for v in values}) > 1)
            ):
                self.varying[name] = torch.tensor(values, dtype=torch.float64, device=device)
            else:
                self.constants[name] = values[0]

    def copy_from_modules(self) -> None:
        """Copy parameters and states from modules and optimizers.

        Raises:
            ValueError: an optimizer's state has another form than its initial state.
        """
        models = [trained_parameters(run) for run in self.runs]
        self.params = [torch.stack([m[name].detach() for m in models]) for name in self.names]
        states = [starting_state(run) for run in self.runs]
        self.state = {
            key: [torch.stack(values) for values in zip(*(s[key] for s in states), strict=True)]
            for key in states[0]
        }
        self._is_owner = True  # of its tensors: nothing else refers to their memory

    def check_settings(self) -> None:
        """Raise if hyperparameters have changed since the stack was built."""
        require_settings(self._settings, self.runs)

    def learning_rates(self, first: int, last: int, clock: Clock) -> NDArray[np.float64]:
        """Return the learning rates of steps ``first`` to ``last - 1``, (steps, runs)."""
        if self._is_constant:  # a full batch asks before each step
            return self.base_rates[None].repeat(last - first, axis=0)
        rows, which = factors_of([run.schedule for run in self.runs], first, last, clock)
        return np.ascontiguousarray(rows[which].T) * self.base_rates

    def rates_of(self, first: int, last: int, clock: Clock) -> Any:
        """Return the learning rates of steps for ``update``, one entry (runs,) for each step.

        For many runs on a GPU they are copied there in one transfer.
        """
        rates = self.learning_rates(first, last, clock)
        device = self.params[0].device
        if len(self.runs) > 1 and device.type == "cuda":
            return torch.from_numpy(rates).to(device)
        return rates

    def update(self, grads: list[Tensor], rates: NDArray[np.float64] | Tensor) -> None:
        """Apply the update rule once to all runs: gradients (runs, ...), learning rates (runs,)."""
        used = {storage_of(t) for t in (*self.params, *grads)}
        params, state = self.carried()
        if len(self.runs) == 1:
            lr = {"lr": float(rates[0])}
            detached = [p.detach() for p in params]  # the rule may ask for their gradients
            params, state = self.one_run(detached, [g[0] for g in grads], state, lr)
            params = [p.detach() for p in params]
        else:
            varying = {**self.varying, "lr": torch.as_tensor(rates, device=self.params[0].device)}
            params, state = torch.vmap(self.one_run)(params, grads, state, varying)
        used |= {storage_of(p) for p in params}
        self.store(params, {k: [owned(v, used) for v in values] for k, values in state.items()})

    def one_run(
        self,
        params: list[Tensor],
        grads: list[Tensor],
        state: dict[str, list[Tensor]],
        varying: Mapping[str, Tensor | float],
    ) -> tuple[list[Tensor], dict[str, list[Tensor]]]:
        """Apply the update rule to one run; ``varying`` holds numbers, including ``lr``.

        Numbers in float64 would change the type of parameters and states without dimensions.
        """
        after, new = self.rule.apply(params, grads, state, {**self.constants, **varying})
        if all(p.ndim for p in params):
            return after, new
        new = {
            name: [_typed(value, like) for value, like in zip(values, state[name], strict=True)]
            if name in state else values
            for name, values in new.items()
        }  # fmt: skip
        return [_typed(value, like) for value, like in zip(after, params, strict=True)], new

    def carried(self) -> tuple[list[Tensor], dict[str, list[Tensor]]]:
        """Return parameters and state in the form that a step takes."""
        params, state = self.params, self.state
        if len(self.runs) == 1:
            return [p[0] for p in params], {k: [v[0] for v in vs] for k, vs in state.items()}
        return params, state

    def store(self, params: list[Tensor], state: dict[str, list[Tensor]]) -> None:
        """Store parameters and state in the stack."""
        if len(self.runs) == 1:
            params = [p[None] for p in params]
            state = {k: [v[None] for v in vs] for k, vs in state.items()}
        self.params, self.state, self._is_owner = params, state, False

    def copy_to_module(self, run: int) -> None:
        """Copy a run's parameters into its module, and its state into its optimizer."""
        problem = self.runs[run]
        with torch.no_grad():
            for name, parameter in trained_parameters(problem).items():
                parameter.copy_(self.params[self.names.index(name)][run])
        copies = [
            {key: values[index][run].clone() for key, values in self.state.items()}
            for index in range(len(self.names))
        ]
        keep_state(problem, copies)

    def read(self, run: int) -> dict[str, Tensor]:
        """Return copies of a run's parameters and optimizer state, by the names of checkpoints."""
        form = torch.contiguous_format  # the stack's tensors may be views of larger ones
        state = {
            f"model.{name}": values[run].clone(memory_format=form)
            for name, values in zip(self.names, self.params, strict=True)
        }
        for key, values in self.state.items():
            for index, value in enumerate(values):
                state[f"optimizer.{index}.{key}"] = value[run].clone(memory_format=form)
        return state

    def write(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Restore the state that ``read`` returned; missing optimizer states get initial values.

        Raises:
            ValueError: the state is of another model.
        """
        model = trained_values(self.runs[run].objective.model, state)
        expected = {n: v.shape[1:] for n, v in zip(self.names, self.params, strict=True)}
        shapes = {name: value.shape for name, value in model.items() if name in expected}
        if expected != shapes:
            given, wanted = ({n: list(s) for n, s in d.items()} for d in (shapes, expected))
            raise ValueError(
                f"the state is of another model, with the shapes {given} instead of {wanted}"
            )
        if not self._is_owner:
            self.params = [p.clone() for p in self.params]
            self.state = {key: [v.clone() for v in values] for key, values in self.state.items()}
            self._is_owner = True
        for name, param in zip(self.names, self.params, strict=True):
            param[run] = model[name]
        initial = None
        for key, values in self.state.items():
            for index, value in enumerate(values):
                name = f"optimizer.{index}.{key}"
                if name in state:
                    value[run] = state[name]
                else:
                    initial = initial or starting_state(self.runs[run], model)
                    value[run] = initial[key][index]


def _rule(run: Problem) -> type[Optimizer]:
    assert isinstance(run.optimizer, Optimizer)
    return type(run.optimizer)


def settings_of(runs: Sequence[Problem]) -> list[dict[str, Any]]:
    """Return the hyperparameters of each run."""
    return [
        run.optimizer.hyper(run.optimizer.param_groups[0])
        for run in runs
        if isinstance(run.optimizer, Optimizer)
    ]


def require_settings(settings: Sequence[Mapping[str, Any]], runs: Sequence[Problem]) -> None:
    """Check that hyperparameters have the values that an engine was built for.

    Raises:
        UserError: a hyperparameter has changed.
    """
    for before, now in zip(settings, settings_of(runs), strict=True):
        for name, value in before.items():
            if now[name] is not value and now[name] != value:
                raise UserError(
                    f"{name}={now[name]}: the optimizer was changed after its trainer was built "
                    f"(it had {name}={value}); build the trainer after the change"
                )


def _typed(value: Tensor, like: Tensor) -> Tensor:
    """Return a value without dimensions in the type of another one; other values unchanged."""
    is_number = isinstance(value, Tensor) and not like.ndim and like.is_floating_point()
    return value.to(like.dtype) if is_number else value
