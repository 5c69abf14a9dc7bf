"""Tells whether a model computes each row by itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gdframe.hidden_state import HiddenState
from gdframe.hidden_state.attachments import is_untouched_built_in
from gdframe.randomness import normal

ROUNDING, ON_GPU = 1e3, 5e-3
"""Largest relative differences: on a CPU in units of the type, on a GPU for float32."""


def parts(rows: int, partition: int) -> tuple[Tensor, ...]:
    """Cut rows, in a random order, into about as many parts as a part has rows.

    Two rows that share a part of one partition are in different parts of the other.

    Args:
        rows: how many.
        partition: 0 or 1; the parts are the rows or the columns of a square of all rows.
    """
    side = max(1, math.isqrt(rows))
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(0))
    if partition:
        return tuple(order[start::side] for start in range(side))
    return torch.split(order, side)


@torch.no_grad()
def is_by_row(
    function: Callable[[Tensor], Tensor], features: Tensor, most: int, partition: int
) -> bool:
    """Return whether a function gives each row the same with other rows beside it.

    Args:
        function: (rows, features) -> (rows, ...).
        features: all of them are tried, (rows, features).
        most: rows at a time.
        partition: 0 or 1; in the two of them any two rows are told apart.
    """
    values = torch.cat([function(x.clone()) for x in torch.split(features, most)])
    rounding = ROUNDING * torch.finfo(values.dtype).eps
    limit = (max(rounding, ON_GPU) if values.is_cuda else rounding) * values.abs().max()
    for part in parts(len(features), partition):
        expected, again = values[part], function(features[part])
        if again.shape != expected.shape or bool(((again - expected).abs() > limit).any()):
            return False
    return True


def takes_rows_alone(
    model: nn.Module, features: Tensor, most: int, scales: tuple[float, float] = (0.0, 0.1)
) -> bool:
    """Return whether a model's outputs for a row do not depend on the other rows; it is tried.

    A trial that fails counts as no.

    Args:
        model: in evaluation mode; what it changes is put back.
        features: (rows, features).
        most: rows at a time.
        scales: of random changes of the parameters, one for each partition of the rows.
    """
    if is_untouched_built_in(model) or len(features) < 2:
        return True
    with HiddenState({"model": model}) as saved:
        if saved.opaque:
            return False
        try:
            for partition, scale in enumerate(scales):
                random = torch.Generator().manual_seed(partition)
                named = {
                    name: p + scale * normal(p, random) if p.is_floating_point() else p
                    for name, p in model.named_parameters()
                }
                if not is_by_row(
                    lambda x, named=named: functional_call(model, named, (x,)),  # type: ignore[misc]
                    features, most, partition,
                ):  # fmt: skip
                    return False
        except Exception:  # of a user's model, which may raise anything
            return False
    return True
