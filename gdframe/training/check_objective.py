"""Trial calls of model, loss and penalty on a few rows, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.errors import UserError, first_line, in_words
from gdframe.hidden_state import undisturbed
from gdframe.hidden_state.attachments import is_untouched_built_in
from gdframe.hidden_state.in_place import unchanged_rows
from gdframe.losses.base import Loss
from gdframe.objective import Objective
from gdframe.randomness import normal

LARGEST_DIFFERENCE = 1e-4
"""Largest relative difference between a loss and the mean of its values by row."""


def check_objective(objective: Objective, data: Dataset, *, smallest: int) -> None:
    """Try model, loss and penalty on a few rows, and leave them as they were.

    Args:
        objective: model, loss and penalty.
        data: that they are for.
        smallest: rows of the smallest batch of an epoch.

    Raises:
        UserError: the loss is not for this data, the model does not take its features or returns
            outputs of another shape than the loss needs, one of them changes what it is given, or
            rows have weights and the loss is no mean over rows.
    """
    model, loss = objective.model, objective.loss
    if loss is not None:
        loss.check(data)
    name, training = type(model).__name__, model.training
    with undisturbed(model=model, loss=loss, penalty=objective.penalty):
        try:
            model.eval()
            if loss is None:
                _check_value(f"model {name}", _try(f"model {name}", model))
                return
            _check_rows(objective, loss, data)
            if smallest == 1:
                model.train()
                row = objective.encode(data.train.take(slice(1)))
                _try(
                    f"model {name} in a batch of one row, in training",
                    lambda: objective.batch_loss(row.features.clone(), row.targets.clone()),
                    "; choose a batch_size that leaves no batch of one row",
                )
        finally:
            model.train(training)


def _check_rows(objective: Objective, loss: Loss, data: Dataset) -> None:
    """Try model and loss on two rows, in evaluation and in training."""
    model, name = objective.model, type(objective.model).__name__
    rows = objective.encode(data.train.take(slice(2)))
    features, targets = rows.features.clone(), rows.targets.clone()
    what = f"features of shape {tuple(features.shape)} and type {features.dtype}"
    known = dict(model.named_parameters())
    with unchanged_rows(model, loss, features, targets):
        outputs = _try(f"model {name} on {what}", lambda: model(features))
    if built := [path for path, _ in model.named_parameters() if path not in known]:
        raise UserError(
            f"model {name}: builds {in_words(built[:3])} when it is called, and its optimizer does "
            "not know it: build layers in the constructor, or use lazy ones such as nn.LazyLinear"
        )
    if not isinstance(outputs, Tensor):
        raise UserError(
            f"model {name}: forward returned a {type(outputs).__name__}; expected one tensor "
            f"of outputs (rows, {loss.outputs(data)})"
        )
    expected = (len(features), loss.outputs(data))
    if tuple(outputs.shape) != expected:
        raise UserError(
            f"model {name}: outputs have shape {tuple(outputs.shape)} for {len(features)} "
            f"rows; loss {loss.name} needs {expected}"
        )
    values, weights = objective.split_targets(targets)
    with unchanged_rows(model, loss, features, targets):
        value = _try(f"loss {loss.name}", lambda: loss(outputs, values))
    _check_value(f"loss {loss.name}", value)
    if weights is not None:
        _check_by_row(loss, outputs, values, value)
        _check_weighted(objective, loss, outputs, data)
    if is_untouched_built_in(model) and is_untouched_built_in(loss):
        return
    model.train()
    unchanged = unchanged_rows(model, loss, features, targets)
    with unchanged, suppress(Exception), torch.no_grad():  # it may need more rows in training
        objective.batch_loss(features, targets)


def _check_by_row(loss: Loss, outputs: Tensor, values: Tensor, mean: Tensor) -> Tensor:
    """Check that a loss is the mean of its values by row, of which each has a weight.

    Returns:
        These values, (rows,).
    """
    expected = f"loss {loss.name}: rows or classes have weights, so it must be a mean over rows"
    by_row = _try(expected, lambda: loss.by_row(outputs, values), "; define its by_row")
    if not isinstance(by_row, Tensor) or by_row.shape != (len(outputs),):
        raise UserError(f"{expected}: by_row must return one value for each row")
    limit = LARGEST_DIFFERENCE * by_row.abs().mean() + 1e-12
    if not bool((by_row.mean() - mean).abs() <= limit):
        raise UserError(
            f"{expected}, and the mean of by_row is {by_row.mean():.4g}, not {mean:.4g}"
        )
    return by_row


def _check_weighted(objective: Objective, loss: Loss, like: Tensor, data: Dataset) -> None:
    """Check the same on all training rows, at outputs near and far from the targets.

    Args:
        objective: that the loss is of.
        loss: a user's is tried.
        like: the model's outputs for some rows.
        data: whose training rows are taken.
    """
    if is_untouched_built_in(loss):
        return
    targets, _ = objective.split_targets(objective.encode(data.train).targets.clone())
    like = like.new_zeros(len(targets), like.shape[1])
    for outputs in _trial_outputs(like, targets):
        value = _try(f"loss {loss.name}", lambda z=outputs: loss(z, targets))  # type: ignore[misc]
        if not bool(value.isfinite()):
            continue
        by_row = _check_by_row(loss, outputs, targets, value)
        halves = zip(outputs.tensor_split(2), targets.tensor_split(2), strict=True)
        alone = torch.cat([loss.by_row(*half) for half in halves if len(half[0])])
        if bool(((alone - by_row).abs() > LARGEST_DIFFERENCE * by_row.abs().mean() + 1e-12).any()):
            raise UserError(
                f"loss {loss.name}: rows or classes have weights, so its by_row must give each row "
                "a value that does not depend on the other rows"
            )


def _trial_outputs(like: Tensor, targets: Tensor) -> Iterator[Tensor]:
    """Yield outputs near and far from the targets; of the last, one row is much farther off.

    Args:
        like: (rows, outputs).
        targets: encoded; outputs are near them where they have the same shape.
    """
    random = torch.Generator().manual_seed(0)
    is_alike = targets.is_floating_point() and targets.shape == like.shape
    center = targets if is_alike else torch.zeros_like(like)
    spread = targets.abs().mean() if is_alike else 1.0
    for scale, farthest in ((0.1, 1.0), (3.0, 1.0), (1.0, 1e3)):
        errors = scale * spread * normal(like, random)
        errors[len(errors) // 3] *= farthest
        yield (center + errors).to(like.dtype)


def _try(what: str, call: Callable[[], Any], remedy: str = "") -> Any:
    """Return what a component returns; what it raises becomes a message."""
    try:
        with torch.no_grad():
            return call()
    except UserError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        if _works_with_gradients(call):
            remedy += (
                "; it works with gradients, but evaluations run without: ask for requires_grad "
                "first, or use torch.enable_grad() in it"
            )
        raise UserError(f"{what}: fails ({reason}){remedy}") from error


def _works_with_gradients(call: Callable[[], Any]) -> bool:
    """Return whether a call that fails without gradients works with them."""
    try:
        with torch.enable_grad():
            call()
    except Exception:
        return False
    return True


def _check_value(what: str, value: Any) -> None:
    if not isinstance(value, Tensor) or value.ndim:
        shape = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value)
        raise UserError(f"{what}: returned {shape}; expected one number, a 0-d tensor")
