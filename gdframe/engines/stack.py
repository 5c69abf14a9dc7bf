"""R runs of one structure as tensors with a leading runs axis, updated by their pure rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.engines.base import Run
from gdframe.engines.structure import is_number
from gdframe.optimizers.base import Optimizer
from gdframe.schedules.base import Clock, factors


class Stack:
    """Parameters, optimizer state and hyperparameters of R runs.

    Args:
        runs: of one structure; ``why_not_pure`` found nothing wrong with their optimizers.

    Attributes:
        names: of the parameters, in order.
        params: one tensor (runs, ...) for each.
        state: by name, one tensor (runs, ...) for each parameter.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = list(runs)
        optimizer = runs[0].optimizer
        assert isinstance(optimizer, Optimizer)
        self.rule = type(optimizer)
        self.names = [name for name, _ in runs[0].objective.model.named_parameters()]
        models = [dict(run.objective.model.named_parameters()) for run in self.runs]
        self.params = [torch.stack([m[name].detach() for m in models]) for name in self.names]
        initial = self.rule.init_state([p[0].clone() for p in self.params])
        self.state = {
            key: [value.repeat(len(runs), *(1,) * value.ndim) for value in values]
            for key, values in initial.items()
        }
        groups = [run.optimizer.param_groups[0] for run in self.runs]
        self.rates = np.array([group["lr"] for group in groups], dtype=np.float64)
        self.constants: dict[str, Any] = {}
        self.varying: dict[str, Tensor] = {}
        device = self.params[0].device
        for name in (name for name in groups[0] if name not in ("params", "lr")):
            values = [group[name] for group in groups]
            if name == "clip_norm" and any(value is not None for value in values):
                values = [torch.inf if value is None else value for value in values]
            if len(runs) > 1 and all(is_number(value) for value in values):
                self.varying[name] = torch.tensor(values, dtype=torch.float64, device=device)
            else:
                self.constants[name] = values[0]

    def factors(self, first: int, last: int, clock: Clock) -> NDArray[np.float64]:
        """Return the learning rates of steps ``first`` to ``last - 1``, (steps, runs)."""
        found, which = factors([run.schedule for run in self.runs], first, last, clock)
        return np.ascontiguousarray(found[which].T) * self.rates

    def update(self, grads: list[Tensor], rates: NDArray[np.float64]) -> None:
        """Apply the rule once to all runs, with gradients (runs, ...) and rates (runs,)."""
        if len(self.runs) == 1:
            hyper = {**self.constants, "lr": float(rates[0])}
            state = {key: [value[0] for value in values] for key, values in self.state.items()}
            params, state = self.rule.apply(
                [p[0] for p in self.params], [g[0] for g in grads], state, hyper
            )
            self.params = [p[None] for p in params]
            self.state = {key: [v[None] for v in values] for key, values in state.items()}
            return
        lr = torch.from_numpy(rates).to(self.params[0].device)
        varying = {**self.varying, "lr": lr}
        one = torch.vmap(self.one_run, in_dims=(0, 0, 0, 0))
        self.params, self.state = one(self.params, grads, self.state, varying)

    def one_run(
        self,
        params: list[Tensor],
        grads: list[Tensor],
        state: dict[str, list[Tensor]],
        varying: Mapping[str, Tensor],
    ) -> tuple[list[Tensor], dict[str, list[Tensor]]]:
        """Apply the rule to one run; ``varying`` holds 0-d tensors, ``lr`` among them."""
        return self.rule.apply(params, grads, state, {**self.constants, **varying})

    def settle(self, run: int) -> None:
        """Copy a run's parameters into its module."""
        with torch.no_grad():
            named = dict(self.runs[run].objective.model.named_parameters())
            for name, values in zip(self.names, self.params, strict=True):
                named[name].copy_(values[run])

    def read(self, run: int) -> dict[str, Tensor]:
        """Return copies of a run's parameters and optimizer state, by the names of checkpoints."""
        form = torch.contiguous_format  # the stack's tensors may be parts of larger ones
        state = {
            f"model.{name}": values[run].clone(memory_format=form)
            for name, values in zip(self.names, self.params, strict=True)
        }
        for key, values in self.state.items():
            for index, value in enumerate(values):
                state[f"optimizer.{index}.{key}"] = value[run].clone(memory_format=form)
        return state

    def write(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Restore what ``read`` returned; what the optimizer's state lacks is as at the start.

        Raises:
            ValueError: it is of another model.
        """
        own = {f"model.{n}": v.shape[1:] for n, v in zip(self.names, self.params, strict=True)}
        given = {name: value.shape for name, value in state.items() if name in own}
        if own != given:
            raise ValueError(f"the state is of another model: {sorted(given)} for {sorted(own)}")
        initial = self.rule.init_state([p[run].clone() for p in self.params])
        self.params = [p.clone() for p in self.params]
        self.state = {key: [v.clone() for v in values] for key, values in self.state.items()}
        for name, param in zip(self.names, self.params, strict=True):
            param[run] = state[f"model.{name}"]
        for key, values in self.state.items():
            for index, value in enumerate(values):
                value[run] = state.get(f"optimizer.{index}.{key}", initial[key][index])
