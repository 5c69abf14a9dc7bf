"""The comparison of kernels and curvatures with the losses and penalties that declare them.

They are compared by themselves and in float64, so that no larger term hides a difference: at
hundreds of distances of every size, exactly where formulas jump, and where the run starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gdframe.data.rows import Rows
from gdframe.engines.base import Problem
from gdframe.engines.functional import value_and_gradient
from gdframe.engines.probe import telling_rows
from gdframe.engines.problem_state import holding
from gdframe.engines.structure import numbers_of
from gdframe.hidden_state import undisturbed
from gdframe.objective import Objective
from gdframe.registry import is_built_in

Array = NDArray[np.float64]
Formula = Callable[[Array], tuple[Array, Array]]

DECADES, PLACES = sorted(range(-9, 13), key=abs), 24
"""Powers of ten of the distances at which kernels are compared, in units of the largest target;
distances of each sign in each of them."""

MOST, MOST_ROWS = 64, 1024
"""Most targets, and most rows, at which kernels are compared."""

LARGEST_DIFFERENCE = {torch.float64: 1e-9, torch.float32: 1e-5}
"""Largest difference, relative to the largest value of a batch and to that at distance one.

Only a penalty on a run's own parameters is computed in their type; all else in float64."""


class KernelError(Exception):
    """A kernel differs from its loss or penalty; the message tells which and in what."""


def check_kernels(runs: Sequence[Problem], rows: Rows, others: Rows | None = None) -> None:
    """Compare the kernels of users' losses and penalties with what they declare.

    Args:
        runs: a run group; each of its settings is checked.
        rows: encoded training rows.
        others: encoded validation rows, whose targets are tried, too.

    Raises:
        KernelError: a value or a slope differs.
    """
    seen: set[Any] = set()
    for run in runs:
        objective = run.objective
        loss, penalty, model = objective.loss, objective.penalty, objective.model
        has_kernel = objective.penalized and not is_built_in(penalty)
        if (loss is None or is_built_in(loss)) and not has_kernel:
            continue
        with undisturbed(model=model, loss=loss, penalty=penalty):
            if loss is not None and not is_built_in(loss) and (key := _key(loss)) not in seen:
                seen.add(key)
                values, _ = objective.split_targets(rows.targets)
                plain = replace(rows, targets=values)
                more = values[:0] if others is None else objective.split_targets(others.targets)[0]
                if loss.coupled:
                    _check_coupled(objective, plain)
                else:
                    _check_loss(objective, plain, torch.cat([values, more]))
            if has_kernel:
                key = _key(penalty)
                what = f"kernel of its penalty {type(penalty).__name__}"
                check_penalty(objective, what, _formula(penalty), everywhere=key not in seen)
                seen.add(key)


def _key(component: object) -> Any:
    """Return what distinguishes a component from others of its run group."""
    return type(component), tuple(numbers_of(component).items())


def _check_loss(objective: Objective, rows: Rows, targets: Tensor) -> None:
    """Compare the kernel of a loss of single outputs, at every target and at few in many ways.

    Args:
        objective: that the loss is of.
        rows: encoded training rows.
        targets: encoded, of all rows.
    """
    loss: Any = objective.loss
    random, every = np.random.default_rng(0), np.unique(targets.double().numpy())
    few = every[np.linspace(0, len(every) - 1, min(MOST, len(every))).astype(int)]
    size = float(np.abs(few).max()) or 1.0
    batches = []
    for steps in _distances() * size:
        y = random.choice(few, len(steps))
        batches.append((np.concatenate([y + steps, steps]), np.concatenate([y, y])))
    jumps = _jumps(loss)
    y = few.repeat(2 * len(jumps))
    z = np.concatenate([few[:, None] + jumps, np.broadcast_to(jumps, (len(few), len(jumps)))], 1)
    batches.append((z.reshape(-1), y))
    outputs, labels = _start(objective, rows)
    batches.append((outputs.reshape(-1), labels.double().reshape(-1).numpy()))
    batches.append((every + size * random.standard_normal(len(every)), every))
    mixed = [np.concatenate([batch[i][::16] for batch in batches[:7]]) for i in range(2)]
    batches.append((mixed[0], mixed[1]))

    def evaluate(z: Array, y: Array) -> tuple[float, Array, Array, Array]:
        leaf = torch.from_numpy(z)[:, None].requires_grad_()
        value = loss(leaf, torch.from_numpy(y)[:, None])
        (slopes,) = torch.autograd.grad(value, leaf)
        pairs = [_call(loss, a, b) for a, b in zip(z.tolist(), y.tolist(), strict=True)]
        return value.item(), slopes[:, 0].numpy() * len(z), *np.array(pairs).T

    _compare_all(f"kernel of its loss {loss.name}", [evaluate(*batch) for batch in batches])


def _check_coupled(objective: Objective, rows: Rows) -> None:
    """Compare the kernel of a loss of all outputs of a row; tied outputs included."""
    loss: Any = objective.loss
    outputs, labels = _start(objective, rows)
    random, width = np.random.default_rng(0), outputs.shape[1]
    count = max(4, min(PLACES, 2000 // width))
    shape = (count, width)
    batches = [10.0**decade * random.standard_normal(shape) for decade in DECADES]
    batches += [np.zeros(shape), random.integers(-1, 2, shape).astype(float), outputs]

    def evaluate(z: Array) -> tuple[float, Array, Array, Array]:
        at = np.arange(len(z)) if z is outputs else random.integers(0, len(rows), len(z))
        y = labels if z is outputs else rows.targets[torch.from_numpy(at)]
        leaf = torch.from_numpy(z).requires_grad_()
        value = loss(leaf, y)
        (slopes,) = torch.autograd.grad(value, leaf)
        pairs = [_call_coupled(loss, a, b) for a, b in zip(z, y.reshape(-1).tolist(), strict=True)]
        values, kernel_slopes = (np.array(part) for part in zip(*pairs, strict=True))
        return value.item(), slopes.numpy() * len(z), values, kernel_slopes

    _compare_all(f"kernel of its loss {loss.name}", [evaluate(z) for z in batches])


def check_penalty(
    objective: Objective, what: str, formula: Formula, *, everywhere: bool
) -> None:  # fmt: skip
    """Compare a formula for one parameter with a penalty.

    Args:
        objective: of a run; its penalty is compared.
        what: the formula in messages.
        formula: returns values and slopes at parameters.
        everywhere: whether it is compared at all distances, not only at values of the model.

    Raises:
        KernelError: a value or a slope differs.
    """
    penalty, device = objective.penalty, objective.penalized[0].device
    if everywhere:
        results = []
        for places in (*_distances(), _jumps(penalty)):
            w = nn.Parameter(torch.from_numpy(places)[None].to(device))
            value, (slopes,) = value_and_gradient(lambda: penalty.value([w]), [w])  # noqa: B023
            results.append((value.item() / len(places), slopes[0].cpu().numpy(), *formula(places)))
        _compare_all(what, results)
    named = {n: p for n, p in objective.model.named_parameters() if p.requires_grad}
    chosen = {id(p) for p in objective.penalized}
    close = LARGEST_DIFFERENCE[next(iter(named.values())).dtype]
    palette = torch.randn(MOST, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    units = 0.0, 0.0
    for scale in (1.0, 1e-3, 1e3, 0.0, None):
        values = {
            name: p.detach().clone() if scale is None
            else (scale * palette[torch.arange(p.numel()) % MOST]).reshape(p.shape).to(p)
            for name, p in named.items()
        }  # fmt: skip
        with holding(objective.model, values):
            value, gradient = value_and_gradient(objective.penalty_value, list(named.values()))
        parts = []
        for name, p in named.items():
            numbers, at = np.unique(values[name].double().cpu().numpy(), return_inverse=True)
            pair = formula(numbers) if id(p) in chosen else (0 * numbers, 0 * numbers)
            parts.append([part[at].reshape(-1) for part in pair])
        kernel_values, kernel_slopes = (np.concatenate(part) for part in zip(*parts, strict=True))
        expected = np.concatenate([s.double().cpu().numpy().reshape(-1) for s in gradient])
        if scale == 1.0:
            units = float(np.abs(kernel_values).mean()), float(np.abs(kernel_slopes).max())
        _compare(
            what,
            (value.item() / len(kernel_values), expected, kernel_values, kernel_slopes),
            close,
            units,
        )


def _distances() -> Array:
    """Return distances of both signs, (decades, places); those near one come first."""
    random = np.random.default_rng(1)
    sizes = 10.0 ** (np.array(DECADES)[:, None] + random.random((len(DECADES), PLACES)))
    return np.concatenate([sizes, -sizes], axis=1)


def _jumps(component: Any) -> Array:
    """Return where a formula may jump: at zero, at one, and at the kernel's arguments."""
    sizes = np.array([0.0, 1.0, *component.kernel_arguments], dtype=np.float64)
    return np.concatenate([sizes, -sizes])


@torch.no_grad()
def _start(objective: Objective, rows: Rows) -> tuple[Array, Tensor]:
    """Return outputs (rows, outputs) where a run starts, and targets, of telling rows."""
    at = telling_rows(rows.targets, MOST_ROWS)
    outputs: Array = objective.model(rows.features[at]).double().numpy()
    return outputs, rows.targets[at]


def _formula(component: Any) -> Formula:
    """Return a penalty's kernel as a function of arrays."""

    def formula(w: Array) -> tuple[Array, Array]:
        values, slopes = np.array([_call(component, a) for a in w.tolist()]).T
        return values, slopes

    return formula


def _call(component: Any, *numbers: float) -> tuple[float, float]:
    try:
        value, slope = component.kernel(*numbers, *component.kernel_arguments)
    except (OverflowError, ValueError, ZeroDivisionError):  # compiled loops give inf here
        return float("nan"), float("nan")
    return float(value), float(slope)


def _call_coupled(loss: Any, z: Array, label: Any) -> tuple[float, Array]:
    slope = np.zeros(len(z))
    try:
        return float(loss.kernel(z.copy(), label, slope, *loss.kernel_arguments)), slope
    except (OverflowError, ValueError, ZeroDivisionError):
        return float("nan"), np.full(len(z), np.nan)


def _compare_all(what: str, results: Sequence[tuple[float, Array, Array, Array]]) -> None:
    """Compare batches of which the first is at a distance of one."""
    mean, slopes, _, _ = results[0]
    units = abs(mean), float(np.abs(slopes).max(initial=0.0))
    for result in results:
        _compare(what, result, LARGEST_DIFFERENCE[torch.float64], units)


def _compare(
    what: str,
    result: tuple[float, Array, Array, Array],
    close: float,
    units: tuple[float, float],
) -> None:
    """Compare a kernel's values and slopes with autograd's mean value and slopes."""
    mean, expected, values, slopes = result
    with np.errstate(all="ignore"):
        finite = np.isfinite(expected)
        size = np.abs(expected[finite]).max(initial=0.0)
        errors = np.abs(slopes[finite] - expected[finite])
        if not (errors <= close * (size + np.nan_to_num(units[1]))).all():
            raise KernelError(f"the {what} has another slope")
        error, size = abs(values.mean() - mean), np.abs(values).mean() + abs(mean)
        if np.isfinite(mean) and not error <= close * (size + np.nan_to_num(units[0])):
            raise KernelError(f"the {what} has another value")
        if np.isfinite(values).all() and np.isfinite(slopes).all() and not (
            finite.all() and np.isfinite(mean)
        ):  # fmt: skip
            raise KernelError(f"the {what} is finite where it is not")
