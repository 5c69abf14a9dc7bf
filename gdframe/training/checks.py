"""Checks that what a run is built from is of the right type and fits together."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral
from typing import Any

import torch
from torch import nn

from gdframe.data.dataset import Dataset
from gdframe.engines.base import Problem
from gdframe.errors import UserError
from gdframe.hidden_state import undisturbed, with_state
from gdframe.loaders.base import Loader
from gdframe.losses.base import Loss
from gdframe.metrics.base import Metric
from gdframe.models.lazy_layers import is_lazy
from gdframe.observers.base import Observer
from gdframe.optimizers.base import Optimizer
from gdframe.penalties.base import Penalty
from gdframe.randomness import Purpose, seeded
from gdframe.registry import is_built_in
from gdframe.schedules.base import Schedule
from gdframe.stopping import Stopping

NO_CLOSURE = ("closure", "'NoneType' object is not callable")
"""Parts of messages of a ``step`` that needs a closure and gets none."""

KINDS: dict[str, tuple[Any, str]] = {
    "model": (nn.Module, "a torch.nn.Module"),
    "loss": ((Loss, type(None)), "a gdframe.Loss, such as gdframe.MSE()"),
    "optimizer": (torch.optim.Optimizer, "an optimizer, such as gdframe.GD(...)"),
    "loader": (Loader, "a gdframe.Loader, such as gdframe.MiniBatch(rows, 32)"),
    "data": (Dataset, "a gdframe.Dataset, such as gdframe.Dataset.from_arrays(x, y)"),
    "penalty": ((Penalty, type(None)), "a gdframe.Penalty, such as gdframe.L2()"),
    "schedule": ((Schedule, type(None)), "a gdframe.Schedule, such as gdframe.Cosine()"),
    "stopping": (Stopping, "a list of stopping rules, or a gdframe.Stopping"),
    "metrics": ((Mapping, type(None)), "metrics by name"),
    "metric": (Metric, "a gdframe.Metric, or the name of a registered one"),
    "observer": (Observer, "a gdframe.Observer"),
    "seed": (Integral, "a whole number"),
    "epochs": (Integral, "a whole number"),
    "evaluate_every": (Integral, "a whole number"),
}
"""For each argument of a run, the classes it may be of, and their name in messages."""


def check_kinds(arguments: Mapping[str, Any]) -> None:
    """Check that the arguments of a run are of the right kind.

    Args:
        arguments: by the names in ``KINDS``.

    Raises:
        UserError: names the first that is not.
    """
    for name, value in arguments.items():
        classes, expected = KINDS[name]
        if not isinstance(value, classes) or isinstance(value, bool):
            raise UserError(
                f"{name} was given as {_kind(value)}: expected {expected}{_hint(value)}"
            )


def check_list(name: str, values: Any) -> list[Any]:
    """Return the entries of an argument that takes a list.

    Raises:
        UserError: the argument is not a list.
    """
    if not isinstance(values, (list, tuple)):
        shown = repr(values) if isinstance(values, str) else _kind(values)
        raise UserError(f"{name} was given as {shown}: expected a list, as in {name}=[...]")
    return list(values)


def _kind(value: Any) -> str:
    """Return the class of a value in words, or the name of a class."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"{type(value).__module__}.{type(value).__name__}".removeprefix("builtins.")


def _hint(value: Any) -> str:
    """Return what to do about a class that was given for an object of it."""
    return f"; build one, as in {value.__name__}(...)" if isinstance(value, type) else ""


def check_observers(observers: Any) -> list[Observer]:
    """Return a list of observers.

    Raises:
        UserError: it is not a list, or an entry is not an Observer.
    """
    listed = check_list("observers", observers)
    for observer in listed:
        check_kinds({"observer": observer})
    return listed


def readers_of_rows(problem: Problem) -> dict[str, Any]:
    """Return the users' components that see the rows, by their names in messages."""
    objective, metrics = problem.objective, problem.metrics or {}
    return with_state(
        {**objective.components, **{f"metric {name}": m for name, m in metrics.items()}}
    )


def refuse_changed_rows(problem: Problem, data: Dataset) -> None:
    """Check that the rows are as they were before users' components first saw them.

    PyTorch does not notice what is written through ``.data`` or by NumPy.

    Raises:
        UserError: a row has changed.
    """
    others = readers_of_rows(problem)
    if others and data.checksum() != data.first_checksum:
        named = " or ".join(
            f"{name} {type(component).__name__}" for name, component in others.items()
        )
        raise UserError(
            f"{named}: writes into the rows it is given, and so changes the data; compute on a "
            "copy (features.clone(), targets.clone())"
        )


def check_metrics(metrics: Mapping[str, Any], problem: Problem, data: Dataset) -> None:
    """Try metrics on a few rows.

    Raises:
        UserError: one is of another kind or task, needs what the loss does not define, or fails.
    """
    objective = problem.objective
    for name, metric in metrics.items():
        check_kinds({"metric": metric})
        if metric.task not in (None, data.task):
            raise UserError(f"metric {name} is for {metric.task}, and the data for {data.task}")
        if not metric.takes_weights and any(rows.weights is not None for rows in data.parts):
            raise UserError(
                f"metric {name} does not count weights: choose another, or let its class take the "
                "weights and set takes_weights = True"
            )
        tried = replace(problem, metrics={name: metric})
        try:
            with undisturbed(**objective.components, metric=metric):
                rows = objective.encode(data.train.take(slice(2)))
                with seeded(problem.seed, Purpose.MODEL, device=rows.targets.device):
                    tried.evaluate(rows, data, gradient=False)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"metric {name}: fails ({type(error).__name__}: {error})") from error


def check_fit(model: nn.Module, optimizer: torch.optim.Optimizer, data: Dataset) -> None:
    """Check that a model has shapes, that the optimizer is its own, and that the device is known.

    Raises:
        UserError: names what does not fit.
    """
    if is_lazy(model):
        raise UserError(
            f"model {type(model).__name__} has lazy layers without shapes: call it on a few "
            "rows, model(data.train.features[:2]), before its optimizer is made"
        )
    if (device := data.train.features.device).type not in ("cpu", "cuda"):
        raise UserError(
            f"data on device {device}: expected cpu or cuda; other devices lack float64, in "
            "which objectives are summed and updates counted"
        )
    owner = next(o for o in type(optimizer).__mro__ if "zero_grad" in vars(o))
    if not (is_built_in(owner) or owner.__module__.startswith("torch.")):
        raise UserError(
            f"optimizer {type(optimizer).__name__} has its own zero_grad, which gdframe does not "
            "call: gradients are None before each step; keep what shall stay in the optimizer's "
            "state"
        )
    if any("lr" not in group for group in optimizer.param_groups):
        raise UserError(
            f"optimizer {type(optimizer).__name__}: a parameter group has no 'lr', the learning "
            "rate, which a schedule sets before each step; add it to the defaults"
        )
    check_step(model, optimizer)
    known = {id(parameter) for parameter in model.parameters()}
    if any(id(p) not in known for group in optimizer.param_groups for p in group["params"]):
        raise UserError("the optimizer is bound to parameters that are not the model's")


def check_step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Check that an optimizer's step needs no closure, by a trial that is undone.

    Raises:
        UserError: it needs one.
    """
    if is_built_in(optimizer):
        return
    is_of_torch = type(optimizer).__module__.startswith("torch.optim")
    try:
        inspect.signature(optimizer.step).bind()
        if not (is_of_torch or isinstance(optimizer, Optimizer)):
            _try_step(model, optimizer)
    except Exception as error:
        if not any(text in str(error) for text in NO_CLOSURE):
            return  # what else is wrong shows in the run
        raise UserError(
            f"optimizer {type(optimizer).__name__}: its step needs a closure that computes the "
            "loss again, and gdframe calls step() without one, after one gradient; choose an "
            "optimizer that needs none"
        ) from error


def _try_step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Execute a step with gradients of zero; leave model and optimizer as they are."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    gradients = [p.grad for p in parameters]
    with undisturbed(model=list(model.parameters()), optimizer=optimizer):
        try:
            for p in parameters:
                p.grad = torch.zeros_like(p)
            optimizer.step()
        finally:
            for p, gradient in zip(parameters, gradients, strict=True):
                p.grad = gradient
