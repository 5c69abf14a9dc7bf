"""One step of R runs as a function without side effects: gradient, its norm, and the update."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.func import grad
from torch.utils._pytree import tree_map

from gdframe.data.rows import Rows
from gdframe.engines.base import Problem
from gdframe.engines.compiled_loop import PACKAGED
from gdframe.engines.functional import check_functional
from gdframe.engines.narrow import narrowed
from gdframe.engines.stack import Stack
from gdframe.engines.structure import numbers_of
from gdframe.engines.verification import has_untouched_built_ins
from gdframe.objective import FunctionalObjective
from gdframe.registry import is_built_in


class Step:
    """A step of the plain loop, for functional models and pure rules.

    Args:
        stack: the runs.
        shared: whether all see the same rows.

    Attributes:
        strengths: the penalties' numbers that differ from run to run, (runs,) each.
    """

    def __init__(self, stack: Stack, *, shared: bool) -> None:
        self._stack, self._shared = stack, shared
        objective = stack.runs[0].objective
        model = narrowed(objective.model)
        self._objective = FunctionalObjective(objective, stack.names, model=model)
        self._numbers: dict[str, float] = {}
        self.read_strengths()
        # Dynamo, which compiles where loops are no files, does not trace through backward
        self._is_alone = len(stack.runs) == 1 and stack.params[0].device.type in PACKAGED
        # a rule may compute in place, and the arguments of a step are needed after it
        self._copies = not is_built_in(stack.rule)

    def check(self, rows: Rows) -> None:
        """Compare the objectives with those of users' modules, on some rows.

        Raises:
            DifferenceError: they differ.
        """
        for index, run in enumerate(self._stack.runs):
            if not has_untouched_built_ins(run):
                strengths = {name: values[index] for name, values in self.strengths.items()}
                check_functional(run, rows, strengths)

    def read_strengths(self) -> bool:
        """Read the numbers of the runs' penalties; return whether those in the code changed."""
        penalty = self._stack.runs[0].objective.penalty
        before, self._numbers = self._numbers, {} if penalty is None else numbers_of(penalty)
        self._objective.penalty, self.strengths = _penalty(self._stack.runs)
        return len(self._stack.runs) == 1 and before != self._numbers

    def __call__(
        self,
        params: list[Tensor],
        state: dict[str, list[Tensor]],
        numbers: tuple[dict[str, Tensor], dict[str, Tensor]],
        rate: Tensor,
        features: Tensor,
        targets: Tensor,
    ) -> tuple[list[Tensor], dict[str, list[Tensor]], Tensor, Tensor]:
        """Execute one step of all runs; features (batch, ...) are shared or (runs, batch, ...).

        ``numbers`` are those of the rule and of the penalty that differ, (runs,) each.
        """
        varying, strengths = numbers
        if len(self._stack.runs) == 1:  # whose tensors have no axis of runs
            return self._step_of_one_run(params, state, {"lr": rate}, {}, features, targets)
        rates = {**varying, "lr": rate}
        rows = None if self._shared else 0
        every = torch.vmap(self._step_of_one_run, in_dims=(0, 0, 0, 0, rows, rows))
        results: tuple[Any, ...] = every(params, state, rates, strengths, features, targets)
        return results

    def _step_of_one_run(
        self,
        params: list[Tensor],
        state: dict[str, list[Tensor]],
        varying: dict[str, Tensor],
        strengths: dict[str, Tensor],
        features: Tensor,
        targets: Tensor,
    ) -> tuple[list[Tensor], dict[str, list[Tensor]], Tensor, Tensor]:
        """Execute one step of one run; return parameters, state, loss and gradient norm."""
        named = dict(zip(self._stack.names, params, strict=True))
        if self._is_alone:
            grads, loss = self._gradient_by_autograd(named, features, targets)
        else:
            slopes = grad(self._objective.__call__, has_aux=True)
            gradient, loss = slopes(named, features, targets, strengths)
            grads, loss = list(gradient.values()), loss.detach()
        norm = reduce(torch.add, [(g * g).sum() for g in grads]).sqrt()
        if self._copies:
            params, state = tree_map(torch.clone, (params, state))
        params, state = self._stack.one_run(params, grads, state, varying)
        return params, state, loss, norm

    def _gradient_by_autograd(
        self, named: dict[str, Tensor], features: Tensor, targets: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """Return the gradient of the objective, and the loss, without ``torch.func``.

        The latter imports PyTorch's compiler, which takes a second.
        """
        with torch.enable_grad():
            leaves = {name: p.detach().requires_grad_() for name, p in named.items()}
            value, loss = self._objective(leaves, features, targets)
            grads = torch.autograd.grad(value, list(leaves.values()), materialize_grads=True)
        return list(grads), loss.detach()


def _penalty(runs: Sequence[Problem]) -> tuple[Any, dict[str, Tensor]]:
    """Return the first run's penalty, and those of its numbers that differ, (runs,) each."""
    penalties = [run.objective.penalty for run in runs]
    device = next(runs[0].objective.model.parameters()).device
    names = numbers_of(penalties[0]) if len(runs) > 1 else ()
    numbers = {name: [vars(penalty)[name] for penalty in penalties] for name in names}
    return penalties[0], {
        name: torch.tensor(values, dtype=torch.float64, device=device)
        for name, values in numbers.items()
    }
