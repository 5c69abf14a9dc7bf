"""The objective of all runs of a stack at once: vmap over runs, instead of one after another."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

import torch
from torch import Tensor
from torch.func import grad, grad_and_value

from gdframe.data.dataset import Dataset
from gdframe.data.rows import Rows
from gdframe.engines.stack import Stack
from gdframe.objective import CHUNK, Evaluation, FunctionalObjective, evaluation_mode


def evaluate_together(
    stack: Stack, strengths: Mapping[str, Tensor], rows: Rows, data: Dataset, *, gradient: bool
) -> list[Evaluation]:
    """Return what ``Objective.evaluate`` returns for each run.

    Args:
        stack: the runs; their model is functional.
        strengths: the penalties' numbers that differ, (runs,) each.
        rows: encoded.
        data: whose task the metrics are of.
        gradient: whether the objective's gradient is wanted.
    """
    objective, runs = stack.runs[0].objective, len(stack.runs)
    function, model = FunctionalObjective(objective, stack.names), objective.model

    def share_of(
        params: list[Tensor], features: Tensor, targets: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        named = dict(zip(stack.names, params, strict=True))
        outputs = function.outputs(named, features)
        share = len(targets) / len(rows) if function.loss is not None else 1.0
        value = function.mean_loss(outputs, targets) * share
        return value, (value.detach(), outputs.detach())

    sums = [torch.zeros_like(p) for p in stack.params] if gradient else []
    total = torch.zeros(runs, dtype=torch.float64, device=rows.targets.device)
    tallies = [run.tally(data, rows) for run in stack.runs]
    every = torch.vmap(
        grad_and_value(share_of, has_aux=True) if gradient else share_of, in_dims=(0, None, None)
    )
    with evaluation_mode(model):
        slices = [slice(None)] if objective.has_own_loss else objective.slices(rows)
        several = max(1, CHUNK // len(rows))
        for at in slices:
            x, y = rows.features[at], rows.targets[at]
            for low in range(0, runs, several):
                part = slice(low, low + several)
                params = [p[part] for p in stack.params]
                if gradient:
                    grads, (_, (values, outputs)) = every(params, x, y)
                    for whole, gradient_of_rows in zip(sums, grads, strict=True):
                        whole[part] += gradient_of_rows
                else:
                    with torch.no_grad():
                        _, (values, outputs) = every(params, x, y)
                total[part] += values
                if function.loss is not None:
                    for tally, outputs_of_run in zip(tallies[part], outputs, strict=True):
                        tally.add(outputs_of_run, y)
    penalties = _penalties(stack, function, strengths, sums)
    norms = [torch.linalg.vector_norm(s.reshape(runs, -1), dim=1) for s in sums]
    # one wait for a GPU, not one for each number
    parts = [total, penalties, *norms, *(s.reshape(1) for tally in tallies for s in tally.sums)]
    numbers = iter(torch.cat([part.detach().to(total) for part in parts]).tolist())
    losses, added, *by_parameter = (list(islice(numbers, runs)) for _ in range(2 + len(norms)))
    return [
        Evaluation(
            loss=losses[run],
            objective=losses[run] + added[run],
            gradient_norms={
                name: values[run] for name, values in zip(stack.names, by_parameter, strict=False)
            },
            metrics=tally.values(list(islice(numbers, len(tally.sums)))),
        )
        for run, tally in enumerate(tallies)
    ]


def _penalties(
    stack: Stack,
    function: FunctionalObjective,
    strengths: Mapping[str, Tensor],
    sums: list[Tensor],
) -> Tensor:
    """Return each run's penalty, (runs,), and add its gradient to the sums, if there are any."""
    if not function.is_penalized:
        return torch.zeros(len(stack.runs))

    def value(params: list[Tensor], numbers: dict[str, Tensor]) -> Tensor:
        named = dict(zip(stack.names, params, strict=True))
        return torch.as_tensor(function.penalty_at(named, numbers))

    if sums:
        grads = torch.vmap(grad(value))(stack.params, dict(strengths))
        for i, slope in enumerate(grads):
            sums[i] = sums[i] + slope
    with torch.no_grad():
        return torch.vmap(value)(stack.params, dict(strengths))
