"""Hold an engine to the definition before it trains: a few steps from random values.

Whatever makes an engine compute something else than the plain loop (a hook on a parameter, a loss
whose kernel is another function, a rule that was understood wrongly) shows in the first steps. The
engine is then refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from gdframe.data.dataset import Dataset, Rows
from gdframe.engines.base import Engine, Problem
from gdframe.engines.eager import one_step
from gdframe.engines.starting_state import keep_state, starting_state, trained_parameters
from gdframe.hidden_state import HiddenState, undisturbed
from gdframe.randomness import Purpose, seeded

SPREAD = 0.1
"""Standard deviation of what is added to each starting value."""

ALLOWED = {torch.float64: 1e-10, torch.float32: 5e-4}
"""Largest difference of an update, relative to the largest entry of that update."""

TRIALS = 2
"""How often steps are compared: from the optimizer's first state, and from a random one."""


class DifferenceError(Exception):
    """An engine computes something else than the plain loop; the message says where."""


@dataclass(frozen=True)
class Steps:
    """What some steps of one run have come to.

    Args:
        losses: of each step.
        norms: gradient norm of each step.
        end: parameters and optimizer state afterwards, by the names of ``Engine.state``.
    """

    losses: Sequence[float]
    norms: Sequence[float]
    end: Mapping[str, Tensor]


def check_steps(
    engine: Engine,
    run: int,
    batches: Sequence[Rows],
    rates: Sequence[float],
    execute: Callable[[], tuple[Sequence[float], Sequence[float]]],
) -> None:
    """Compare steps of one of an engine's runs with the plain loop's, and take all runs up again.

    Args:
        engine: with its runs as modules and optimizers hold them.
        run: which.
        batches: the rows of each step, encoded.
        rates: the learning rate of each step.
        execute: has the engine execute these steps; returns their losses and gradient norms.

    Raises:
        DifferenceError: they differ by more than rounding.
    """
    for trial in range(TRIALS):
        start = random_start(engine.runs[run], trial)
        expected = by_definition(engine.runs[run], batches, start, rates)
        engine.load_state(run, start)
        losses, norms = execute()
        compare_steps(Steps(losses, norms, engine.state(run)), expected, start)
        engine.take_up()


def runs_to_check(count: int) -> list[int]:
    """Return which runs of a group are compared: the first, the last and one between."""
    return sorted({0, count // 2, count - 1})


def random_start(run: Problem, trial: int) -> dict[str, Tensor]:
    """Return random parameters and, from the second trial on, a random optimizer state."""
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
        start[f"model.{name}"] = p.detach() + (SPREAD * noise).to(p)
    for key, values in starting_state(run).items():
        for index, value in enumerate(values):
            start[f"optimizer.{index}.{key}"] = draw(value) if trial else value.clone()
    return start


@torch.no_grad()
def by_definition(
    run: Problem, batches: Sequence[Rows], start: Mapping[str, Tensor], rates: Sequence[float]
) -> Steps:
    """Execute steps of a run by the plain loop, and leave the run as it was.

    Args:
        run: whose module and optimizer.
        batches: the rows of each step, encoded.
        start: parameters and optimizer state.
        rates: the learning rate of each step.
    """
    params = trained_parameters(run)
    losses, norms = [], []
    with _kept(run):
        for name, p in params.items():
            p.copy_(start[f"model.{name}"])
        states: list[dict[str, Tensor]] = [{} for _ in params]
        for name, value in start.items():
            if name.startswith("optimizer."):
                _, at, key = name.split(".", 2)
                states[int(at)][key] = value.clone()
        keep_state(run, states)
        run.objective.model.train()
        every = list(run.objective.model.parameters())
        with torch.enable_grad():
            for batch, rate in zip(batches, rates, strict=True):
                loss, norm = one_step(run, every, batch, [rate])
                losses.append(loss.item())
                norms.append(norm.item())
        end = {f"model.{name}": p.detach().clone() for name, p in params.items()}
        for index, p in enumerate(params.values()):
            for key, value in run.optimizer.state[p].items():
                end[f"optimizer.{index}.{key}"] = value.clone()
    return Steps(losses, norms, end)


@contextmanager
def _kept(run: Problem) -> Iterator[None]:
    """Put back whatever steps change."""
    objective, optimizer = run.objective, run.optimizer
    roots = {
        "model": objective.model,
        "loss": objective.loss,
        "penalty": objective.penalty,
        "optimizer": type(optimizer),
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


def compare_evaluation(loss: float, run: Problem, rows: Rows, data: Dataset) -> None:
    """Compare the mean loss that an engine finds at a run's parameters with the plain loop's.

    Raises:
        DifferenceError: they differ by more than rounding.
    """
    objective = run.objective
    with (
        undisturbed(model=objective.model, loss=objective.loss, penalty=objective.penalty),
        seeded(run.seed, Purpose.EVALUATION, device=rows.targets.device),
    ):
        expected = objective.evaluate(rows, data, gradient=False).loss
    found, its = torch.tensor([loss]).double(), torch.tensor([expected]).double()
    dtype = rows.features.dtype
    if not _close(found, its, None, (ALLOWED[dtype], 64 * torch.finfo(dtype).eps, 0.0)):
        raise DifferenceError("compared with the plain loop, its loss in evaluation differs")


def compare_steps(found: Steps, expected: Steps, start: Mapping[str, Tensor]) -> None:
    """Compare the steps of an engine with those of the plain loop.

    Raises:
        DifferenceError: they differ by more than rounding.
    """
    dtype = next(v.dtype for name, v in start.items() if name.startswith("model."))
    allowed, eps = ALLOWED[dtype], 64 * torch.finfo(dtype).eps
    names = [name for name in start if name.startswith("model.")]
    # a state that is as small as the rounding of its parameter may be that rounding
    floors = [eps * float(start[name].abs().max()) for name in names]
    pairs: list[tuple[str, Tensor, Tensor, Tensor | None]] = [
        ("loss", torch.tensor(found.losses).double(), torch.tensor(expected.losses).double(), None),
        ("gradient norm", torch.tensor(found.norms).double(),
         torch.tensor(expected.norms).double(), None),
    ]  # fmt: skip
    for name, value in expected.end.items():
        if name not in found.end:
            raise DifferenceError(f"it lacks '{name}'")
        pairs.append((f"'{name}'", found.end[name], value, start.get(name)))
    for what, mine, its, before in pairs:
        at = re.match(r"'optimizer\.(\d+)\.", what)
        floor = floors[int(at[1])] if at else 0.0
        if mine.shape != its.shape or not _close(mine, its, before, (allowed, eps, floor)):
            raise DifferenceError(f"compared with the plain loop, its {what} differs")


def _close(
    mine: Tensor, its: Tensor, before: Tensor | None, tolerance: tuple[float, float, float]
) -> bool:  # fmt: skip
    mine, its = mine.detach().double().cpu(), its.detach().double().cpu()
    finite = its.isfinite()
    if not torch.equal(finite, mine.isfinite()):
        return False
    if not torch.equal(its[~finite].nan_to_num(), mine[~finite].nan_to_num()):
        return False
    if not finite.any():
        return True
    mine, its = mine[finite], its[finite]
    moved = its if before is None else its - before.double().cpu()[finite]
    allowed, eps, floor = tolerance
    limit = allowed * float(moved.abs().max()) + eps * float(its.abs().max()) + floor
    return float((mine - its).abs().max()) <= limit
