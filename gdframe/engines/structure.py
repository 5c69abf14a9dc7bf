"""What runs that are trained together must have in common, and what may differ among them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from gdframe.engines.base import Run
from gdframe.optimizers.base import Optimizer


def why_not_together(runs: Sequence[Run], *, losses_vary: bool = False) -> str | None:
    """Say why runs cannot be trained as one batch, or None.

    Starting values, numbers among the hyperparameters and the penalty's arguments, schedules and
    seeds may differ; all else may not.

    Args:
        runs: at least one.
        losses_vary: whether the numbers among the loss's arguments may differ too.
    """
    if len(runs) == 1:
        return None
    first = structure(runs[0], losses_vary=losses_vary)
    for run in runs[1:]:
        other = structure(run, losses_vary=losses_vary)
        different = [name for name, value in first.items() if other[name] != value]
        if different:
            return f"the runs differ in their {' and '.join(different)}, not in values alone"
    return None


def structure(run: Run, *, losses_vary: bool = False) -> dict[str, Any]:
    """Return what a run shares with those it is trained with, by what it is called in words."""
    objective, optimizer = run.objective, run.optimizer
    loss, penalty = objective.loss, objective.penalty
    chosen = {id(p) for p in objective.penalized}
    named = list(objective.model.named_parameters())
    penalized = [name for name, p in named if id(p) in chosen]
    groups = [_fixed(group, but=("params",)) for group in optimizer.param_groups]
    return {
        "model": (
            [(name, p.shape, p.dtype, p.device, p.requires_grad) for name, p in named],
            [(name, _content(buffer)) for name, buffer in objective.model.named_buffers()],
            [(name, type(m), _settings(m)) for name, m in objective.model.named_modules()],
        ),
        "loss": (type(loss), _fixed(vars(loss), numbers=not losses_vary) if loss else {}),
        "penalty": (type(penalty), _fixed(vars(penalty)), penalized) if penalized else None,
        "optimizer": (type(optimizer), groups),
    }


def is_number(value: Any) -> bool:
    """Say whether a value is one that may differ from run to run: a number, and not a switch."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _fixed(
    values: Mapping[str, Any], *, numbers: bool = False, but: Sequence[str] = ()
) -> dict[str, str]:
    """Return the values that runs share; a limit that only some runs have counts as a number."""
    return {
        name: repr(value)
        for name, value in values.items()
        if name not in but and (numbers or not (is_number(value) or name == "clip_norm"))
    }


def _settings(module: nn.Module) -> dict[str, str]:
    """Return what a module was told besides its tensors."""
    plain = (bool, int, float, str, tuple, type(None))
    return {
        name: repr(value)
        for name, value in vars(module).items()
        if isinstance(value, plain) and not name.startswith("_") and name != "training"
    }


def _content(buffer: Tensor) -> tuple[Any, ...]:
    return (buffer.dtype, tuple(buffer.shape), buffer.detach().cpu().numpy().tobytes())


def why_not_pure(run: Run) -> str | None:
    """Say why a run's updates are not one application of a pure rule to all parameters, or None."""
    optimizer = run.optimizer
    name = type(optimizer).__name__
    if not isinstance(optimizer, Optimizer):
        return f"its optimizer ({name}) is no pure update rule of gdframe's"
    # torch wraps the step of every class it makes an instance of
    steps = {inspect.unwrap(cls.step) for cls in (type(optimizer), Optimizer)}
    applies = {getattr(cls.apply, "__func__", cls.apply) for cls in (type(optimizer), Optimizer)}
    if len(steps) > 1 or len(applies) > 1:
        return f"its optimizer ({name}) does more in a step than its pure update"
    bound = [id(p) for group in optimizer.param_groups for p in group["params"]]
    parameters = [id(p) for p in run.objective.model.parameters()]
    if len(optimizer.param_groups) > 1 or bound != parameters:
        return "its optimizer has several parameter groups, or leaves parameters out"
    return None
