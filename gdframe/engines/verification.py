"""The comparison of an engine with the plain loop before training, on steps from random values.

A hook on a parameter, a kernel that differs from its loss or a wrongly recorded update rule change
the first steps already. An engine whose steps differ is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.data.rows import Rows
from gdframe.engines.base import Engine, Problem
from gdframe.engines.eager import one_step
from gdframe.engines.problem_state import (
    holding,
    keep_state,
    settings_of_groups,
    starting_state,
    trained_parameters,
)
from gdframe.hidden_state import HiddenState, undisturbed
from gdframe.hidden_state.attachments import is_untouched_built_in
from gdframe.metrics.tally import Tally
from gdframe.objective import Evaluation
from gdframe.randomness import Purpose, seeded

NOISE_SIZES = (0.1, 1e-3, 1e-6)
"""Standard deviations of the noise that is added to each starting value.

They are tried in turn until the plain loop's values are finite: some models are defined only near
their start."""

LARGEST_DIFFERENCE = {torch.float64: 1e-10, torch.float32: 5e-4}
"""Largest difference of an update, relative to the largest entry of that update."""

TRIALS = 2
"""Number of comparisons: from the optimizer's initial state, and from a random state."""


class DifferenceError(Exception):
    """An engine's result differs from the plain loop's; the message tells in what."""


@dataclass(frozen=True)
class Steps:
    """The results of several steps of one run.

    Args:
        losses: loss of each step.
        norms: gradient norm of each step.
        end: parameters and optimizer state after the last step, by the names of ``Engine.state``.
    """

    losses: Sequence[float]
    norms: Sequence[float]
    end: Mapping[str, Tensor]


def check_steps(
    engine: Engine,
    index: int,
    batches: Sequence[Rows],
    rates: Sequence[float],
    execute: Callable[[], tuple[Sequence[float], Sequence[float]]],
) -> None:
    """Compare steps of a run with the plain loop; copy the modules' values into the engine again.

    Args:
        engine: it holds the values of the modules and optimizers.
        index: of the run.
        batches: the encoded rows of each step.
        rates: the learning rate of each step.
        execute: makes the engine execute these steps; returns their losses and gradient norms.

    Raises:
        DifferenceError: the results differ by more than rounding.
    """
    for trial in range(TRIALS):
        for noise_size in NOISE_SIZES:
            start = random_start(engine.runs[index], trial, noise_size)
            expected = steps_by_plain_loop(engine.runs[index], batches, start, rates)
            if np.isfinite([*expected.losses, *expected.norms]).all():
                break
        engine.load_state(index, start)
        losses, norms = execute()
        compare_steps(Steps(losses, norms, engine.state(index)), expected, start)
        engine.copy_from_modules()


def runs_to_check(count: int) -> list[int]:
    """Return the indices of the runs to compare: the first, the middle and the last."""
    return sorted({0, count // 2, count - 1})


def starting_parameters(run: Problem) -> dict[str, Tensor]:
    """Return the parameters that a run starts from, by the names of ``Engine.state``."""
    return {f"model.{name}": p.detach().clone() for name, p in trained_parameters(run).items()}


def random_start(run: Problem, trial: int, noise_size: float = NOISE_SIZES[0]) -> dict[str, Tensor]:
    """Return random parameters; from the second trial on, also a random optimizer state."""
    random = torch.Generator().manual_seed(trial)

    def draw(like: Tensor) -> Tensor:
        if like.dtype == torch.bool:
            return torch.randint(0, 2, like.shape, generator=random).to(like)
        if not like.is_floating_point():
            return torch.randint(1, 4, like.shape, generator=random).to(like)
        values = torch.randn(like.shape, generator=random, dtype=torch.float64)
        return (values.abs() if like.ndim else 1.0 + trial + 0.0 * values).to(like)

    start = {}
    for name, p in trained_parameters(run).items():
        noise = torch.randn(p.shape, generator=random, dtype=torch.float64)
        start[f"model.{name}"] = p.detach() + (noise_size * noise).to(p)
    for key, values in starting_state(run).items():
        for index, value in enumerate(values):
            start[f"optimizer.{index}.{key}"] = draw(value) if trial else value.clone()
    return start


@torch.no_grad()
def steps_by_plain_loop(
    run: Problem, batches: Sequence[Rows], start: Mapping[str, Tensor], rates: Sequence[float]
) -> Steps:
    """Return the results of steps by the plain loop; leave the run unchanged.

    Args:
        run: its module and optimizer execute the steps.
        batches: the encoded rows of each step.
        start: parameters and optimizer state before the first step.
        rates: the learning rate of each step.
    """
    params = trained_parameters(run)
    losses, norms = [], []
    with _restored(run):
        for name, p in params.items():
            p.copy_(start[f"model.{name}"])
        states: list[dict[str, Tensor]] = [{} for _ in params]
        for name, value in start.items():
            if name.startswith("optimizer."):
                _, at, key = name.split(".", 2)
                states[int(at)][key] = value.clone()
        keep_state(run, states)
        run.objective.model.train()
        parameters = list(run.objective.model.parameters())
        with torch.enable_grad():
            for batch, rate in zip(batches, rates, strict=True):
                loss, norm = one_step(run, parameters, batch, [rate])
                losses.append(loss.item())
                norms.append(norm.item())
        end = {f"model.{name}": p.detach().clone() for name, p in params.items()}
        for index, p in enumerate(params.values()):
            for key, value in run.optimizer.state[p].items():
                end[f"optimizer.{index}.{key}"] = value.clone()
    return Steps(losses, norms, end)


@contextmanager
def _restored(run: Problem) -> Iterator[None]:
    """Restore all that steps change."""
    objective, optimizer = run.objective, run.optimizer
    roots = {
        **objective.components,
        "optimizer": type(optimizer),
        "settings": settings_of_groups(optimizer),
    }
    parameters = list(objective.model.parameters())
    grads = [p.grad for p in parameters]
    rates = [group["lr"] for group in optimizer.param_groups]
    states = {p: dict(values) for p, values in optimizer.state.items()}
    with HiddenState(roots):
        try:
            for p, grad in zip(parameters, grads, strict=True):
                p.grad = None if grad is None else grad.clone()
            yield
        finally:
            optimizer.state.clear()
            optimizer.state.update(states)
            for group, lr in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = lr
            for p, grad in zip(parameters, grads, strict=True):
                p.grad = grad


def has_untouched_built_ins(run: Problem) -> bool:
    """Return whether model, loss and penalty are built in, with nothing attached to them."""
    objective = run.objective
    return all(map(is_untouched_built_in, objective.components.values()))


def check_evaluations(
    engine: Engine, rows: Rows, evaluate: Callable[[Sequence[int]], Sequence[Evaluation]]
) -> None:
    """Compare evaluations with the plain loop's; copy the modules' values into the engine again.

    Some runs are compared at random values, and every run with a user's component at its starting
    values.

    Args:
        engine: it holds the values of the modules and optimizers.
        rows: encoded, to evaluate on.
        evaluate: makes the engine evaluate these runs on the rows.

    Raises:
        DifferenceError: a loss, a penalty or a gradient differs by more than rounding.
    """
    random_starts = {
        index: random_start(engine.runs[index], 0) for index in runs_to_check(len(engine.runs))
    }
    user_starts = {
        index: starting_parameters(run)
        for index, run in enumerate(engine.runs)
        if not has_untouched_built_ins(run)
    }
    for starts in (random_starts, user_starts):
        if starts is random_starts:
            for index, start in starts.items():
                engine.load_state(index, start)
        for index, evaluation in zip(starts, evaluate(list(starts)), strict=True):
            _compare_evaluations(evaluation, engine.runs[index], rows, engine.data, starts[index])
        engine.copy_from_modules()


def _compare_evaluations(
    actual: Evaluation, run: Problem, rows: Rows, data: Dataset, start: Mapping[str, Tensor]
) -> None:
    objective, params = run.objective, trained_parameters(run)
    with (
        undisturbed(model=objective.model, loss=objective.loss, penalty=objective.penalty),
        holding(objective.model, {name: start[f"model.{name}"] for name in params}),
        seeded(run.seed, Purpose.EVALUATION, device=rows.targets.device),
    ):
        expected = objective.evaluate(
            rows, data, gradient=True, tally=Tally({}, objective.loss, rows)
        )
    dtype = next(iter(params.values())).dtype
    eps, loss = 64 * torch.finfo(dtype).eps, abs(expected.loss)
    absolute_allowance = eps * (loss + math.sqrt(loss) + expected.gradient_norm)
    has_floor = math.isfinite(absolute_allowance)
    values = [
        [e.loss, e.objective - e.loss, *(e.gradient_norms[name] for name in params)]
        for e in (actual, expected)
    ]
    names = ["loss", "penalty", *(f"gradient by '{name}'" for name in params)]
    for name, value, reference in zip(names, *values, strict=True):
        pair = torch.tensor(value).double(), torch.tensor(reference).double()
        floor = absolute_allowance if has_floor and name != "loss" else 0.0
        if not is_equal_up_to_rounding(*pair, None, (LARGEST_DIFFERENCE[dtype], eps, floor)):
            raise DifferenceError(
                f"compared with the plain loop, its {name} differs in an evaluation"
            )


def compare_steps(actual: Steps, expected: Steps, start: Mapping[str, Tensor]) -> None:
    """Compare the results of an engine's steps with those of the plain loop.

    Raises:
        DifferenceError: the results differ by more than rounding.
    """
    dtype = next(v.dtype for name, v in start.items() if name.startswith("model."))
    allowed, eps = LARGEST_DIFFERENCE[dtype], 64 * torch.finfo(dtype).eps
    names = [name for name in start if name.startswith("model.")]
    # a state as small as the rounding of its parameter may consist of rounding alone
    floors = [eps * float(start[name].abs().max()) for name in names]
    pairs: list[tuple[str, Tensor, Tensor, Tensor | None]] = [
        (what, torch.tensor(values).double(), torch.tensor(references).double(), None)
        for what, values, references in (
            ("loss", actual.losses, expected.losses),
            ("gradient norm", actual.norms, expected.norms),
        )
    ]
    for name, value in expected.end.items():
        if name not in actual.end:
            raise DifferenceError(f"it lacks '{name}'")
        pairs.append((f"'{name}'", actual.end[name], value, start.get(name)))
    for what, value, reference, before in pairs:
        at = re.match(r"'optimizer\.(\d+)\.", what)
        floor = floors[int(at[1])] if at else 0.0
        if value.shape != reference.shape or not is_equal_up_to_rounding(
            value, reference, before, (allowed, eps, floor)
        ):
            raise DifferenceError(f"compared with the plain loop, its {what} differs")


def is_equal_up_to_rounding(
    value: Tensor, reference: Tensor, before: Tensor | None, tolerance: tuple[float, float, float]
) -> bool:
    """Return whether values are equal up to rounding, with the same infinities and NaNs.

    Args:
        value: any shape.
        reference: of that shape.
        before: the values before an update, if they are the result of one.
        tolerance: (share of the largest change, share of the largest value, absolute part); their
            sum is allowed.
    """
    value, reference = value.detach().double().cpu(), reference.detach().double().cpu()
    finite = reference.isfinite()
    if not torch.equal(finite, value.isfinite()):
        return False
    if not torch.equal(reference[~finite].nan_to_num(), value[~finite].nan_to_num()):
        return False
    if not finite.any():
        return True
    value, reference = value[finite], reference[finite]
    moved = reference if before is None else reference - before.double().cpu()[finite]
    moved = torch.where(moved.isfinite(), moved, reference)  # it began as NaN, for unset
    allowed, eps, floor = tolerance
    limit = allowed * float(moved.abs().max()) + eps * float(reference.abs().max()) + floor
    return float((value - reference).abs().max()) <= limit
