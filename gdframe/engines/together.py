"""The objective of all runs of a stack at once: vmap over runs, instead of one after another."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.func import functional_call, grad, grad_and_value

from gdframe.data.dataset import Dataset, Rows
from gdframe.engines.stack import Stack
from gdframe.engines.starting_state import trained_parameters
from gdframe.objective import CHUNK, Evaluation


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
    model, loss = objective.model, objective.loss
    training = model.training
    model.eval()

    def share_of(
        params: list[Tensor], features: Tensor, targets: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        named = dict(zip(stack.names, params, strict=True))
        if loss is None:
            value: Tensor = functional_call(model, named, ())
            return value, (value.detach(), value.detach())
        outputs = functional_call(model, named, (features,))
        value = loss(outputs, targets) * (len(targets) / len(rows))
        return value, (value.detach(), outputs.detach())

    sums = [torch.zeros_like(p) for p in stack.params]
    total = torch.zeros(runs, dtype=torch.float64, device=rows.targets.device)
    tallies = [run.tally(data, rows) for run in stack.runs]
    # rows are cut as in Objective.evaluate: what a model makes of a row may depend on the others
    size = min(CHUNK, len(rows))
    several = max(1, CHUNK // size)
    every = torch.vmap(
        grad_and_value(share_of, has_aux=True) if gradient else share_of, in_dims=(0, None, None)
    )
    for start in range(0, len(rows), size):
        x, y = rows.features[start : start + size], rows.targets[start : start + size]
        for low in range(0, runs, several):
            part = slice(low, low + several)
            params = [p[part] for p in stack.params]
            if gradient:
                grads, (_, (values, outputs)) = every(params, x, y)
                for whole, own in zip(sums, grads, strict=True):
                    whole[part] += own
            else:
                with torch.no_grad():
                    _, (values, outputs) = every(params, x, y)
            total[part] += values
            if loss is not None:
                for tally, own in zip(tallies[part], outputs, strict=True):
                    tally.add(own, y)
    model.train(training)
    penalties = _penalties(stack, strengths, sums, gradient=gradient)
    norms = [torch.linalg.vector_norm(s.reshape(runs, -1), dim=1).tolist() for s in sums]
    return [
        Evaluation(
            loss=value,
            objective=value + penalty,
            gradient_norms=(
                {name: own[run] for name, own in zip(stack.names, norms, strict=True)}
                if gradient
                else {}
            ),
            metrics=tallies[run].values(),
        )
        for run, (value, penalty) in enumerate(zip(total.tolist(), penalties, strict=True))
    ]


def _penalties(
    stack: Stack, strengths: Mapping[str, Tensor], sums: list[Tensor], *, gradient: bool
) -> Sequence[float]:
    """Return each run's penalty, and add its gradient to the sums."""
    objective = stack.runs[0].objective
    if not objective.penalized:
        return [0.0] * len(stack.runs)
    places = {id(p): i for i, p in enumerate(trained_parameters(stack.runs[0]).values())}
    at = [places[id(p)] for p in objective.penalized if id(p) in places]

    def value(weights: list[Tensor], own: dict[str, Tensor]) -> Tensor:
        penalty = copy.copy(objective.penalty)
        vars(penalty).update(own)
        trained = iter(weights)
        every = [next(trained) if id(p) in places else p.detach() for p in objective.penalized]
        return torch.as_tensor(penalty.value(every))

    weights = [stack.params[i] for i in at]
    if gradient and at:
        grads = torch.vmap(grad(value))(weights, dict(strengths))
        for i, own in zip(at, grads, strict=True):
            sums[i] = sums[i] + own
    with torch.no_grad():
        values: list[float] = torch.vmap(value)(weights, dict(strengths)).tolist()
    return values
