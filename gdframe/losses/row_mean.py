"""Tells whether a loss, or a model with its loss, is a mean over rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gdframe.data.rows import Rows, telling_rows
from gdframe.hidden_state import HiddenState
from gdframe.hidden_state.attachments import is_untouched_built_in
from gdframe.randomness import normal

MOST_ROWS = 1024
"""Most rows for trial calls, but for those of rare classes."""

ROUNDING, ON_GPU = 1e3, 5e-3
"""Largest relative differences: on a CPU in units of the type, on a GPU for float32."""

MeanLoss = Callable[[Tensor, Tensor], Tensor]


def is_mean_over_rows(model: nn.Module, loss: Any, mean_loss: MeanLoss, rows: Rows) -> bool:
    """Return whether a model's loss over rows seems the mean of those over parts of the rows.

    Then its gradient is, too. A user's model or loss is tried on some rows; what it changes is put
    back. A trial that fails counts as no.

    Args:
        model: in evaluation mode.
        loss: that ``mean_loss`` computes; it may have state.
        mean_loss: of outputs and encoded targets.
        rows: encoded.
    """
    if is_untouched_built_in(model) and is_untouched_built_in(loss):
        return True
    with HiddenState({"model": model, "loss": loss}) as saved, torch.enable_grad():
        if saved.opaque:
            return False
        try:
            return all(_is_sum(*trial) for trial in _trials(model, mean_loss, rows))
        except Exception:  # of a user's component, which may raise anything
            return False


@torch.no_grad()
def takes_rows_alone(model: nn.Module, features: Tensor, most: int) -> bool:
    """Return whether a model's outputs for a row do not depend on the other rows; it is tried.

    Each row is given to it twice, with other rows beside it, at the model's parameters and near
    them. A trial that fails counts as no.

    Args:
        model: in evaluation mode; what it changes is put back.
        features: (rows, features).
        most: rows at a time.
    """
    if is_untouched_built_in(model) or len(features) < 2:
        return True
    random = torch.Generator().manual_seed(0)
    order = torch.randperm(len(features), generator=random).to(features.device)
    parts = torch.split(order, max(1, min(most, len(order)) // 2))
    with HiddenState({"model": model}) as saved:
        if saved.opaque:
            return False
        try:
            return all(_has_same_outputs(model, features, parts, most, s) for s in (0.0, 0.1))
        except Exception:  # of a user's model, which may raise anything
            return False


def _has_same_outputs(
    model: nn.Module, features: Tensor, parts: Sequence[Tensor], most: int, scale: float
) -> bool:
    """Return whether outputs of parts of the rows are those of the rows in order.

    Args:
        model: in evaluation mode.
        features: (rows, features).
        parts: numbers of rows.
        most: rows in order at a time.
        scale: of random changes of the parameters.
    """
    random = torch.Generator().manual_seed(0)
    named = {
        name: p + scale * normal(p, random) if p.is_floating_point() else p
        for name, p in model.named_parameters()
    }
    pieces = (x.clone() for x in torch.split(features, most))
    outputs = torch.cat([functional_call(model, named, (x,)) for x in pieces])
    limit = _limit(outputs) * outputs.abs().max()
    for part in parts:
        expected, again = outputs[part], functional_call(model, named, (features[part],))
        if again.shape != expected.shape or bool(((again - expected).abs() > limit).any()):
            return False
    return True


def _limit(values: Tensor) -> float:
    """Return the largest relative difference that counts as rounding."""
    limit = ROUNDING * torch.finfo(values.dtype).eps
    return max(limit, ON_GPU) if values.is_cuda else limit


def _trials(
    model: nn.Module, mean_loss: MeanLoss, rows: Rows
) -> Iterator[tuple[Callable[[Any], Tensor], Sequence[Tensor], int]]:
    """Yield functions of rows, the tensors that they depend on, and the number of rows."""
    where = telling_rows(rows.targets, MOST_ROWS)
    keys = rows.targets[where].reshape(len(where), -1)[:, 0]
    sample = rows.take(where[keys.argsort()])
    x, y = sample.features.clone(), sample.targets.clone()
    with torch.no_grad():
        like = model(x)
    for outputs in trial_outputs(like, y):
        outputs.requires_grad_()
        yield lambda at, z=outputs: mean_loss(z[at], y[at]), [outputs], len(y)  # type: ignore[misc]
    named = dict(model.named_parameters())
    random = torch.Generator().manual_seed(0)
    for scale in (0.0, 0.1, 1.0):
        values = {
            name: (p + scale * normal(p, random)).detach().requires_grad_()
            for name, p in named.items()
            if p.is_floating_point()
        }

        def at_parameters(at: Any, values: Mapping[str, Tensor] = values) -> Tensor:
            outputs = functional_call(model, dict(values), (x[at],))
            if len(outputs) != len(x[at]):
                raise ValueError("outputs of other rows")
            return mean_loss(outputs, y[at])

        yield at_parameters, list(values.values()), len(y)


def trial_outputs(like: Tensor, targets: Tensor) -> Iterator[Tensor]:
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


def _is_sum(at: Callable[[Any], Tensor], leaves: Sequence[Tensor], rows: int) -> bool:
    """Return whether value and gradient over all rows are those of three parts; true if not finite.

    Args:
        at: value at a slice of rows.
        leaves: tensors that it depends on.
        rows: how many there are.
    """
    ends = (0, rows // 2, rows - rows // 8, rows)
    parts = [slice(a, b) for a, b in pairwise(ends) if b > a]
    whole = at(slice(0, rows))
    separate = [at(part) * ((part.stop - part.start) / rows) for part in parts]
    if not bool(whole.isfinite()):
        return True
    limit = _limit(whole)
    size = torch.stack(separate).detach().abs().sum() + whole.detach().abs()
    if bool((torch.stack(separate).sum() - whole).abs() > limit * size):
        return False
    if not whole.requires_grad:
        return True
    slopes = _gradient(whole, leaves)
    by_part = [_gradient(value, leaves) for value in separate]
    for slope, *of_parts in zip(slopes, *by_part, strict=True):
        size = slope.norm() + torch.stack([part.norm() for part in of_parts]).sum()
        if bool((slope - torch.stack(of_parts).sum(0)).norm() > limit * size):
            return False
    return True


def _gradient(value: Tensor, leaves: Sequence[Tensor]) -> Sequence[Tensor]:
    return torch.autograd.grad(value, leaves, materialize_grads=True, retain_graph=True)
