"""Notices that a model or a loss changes the rows that it is given, or encodes them by chance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gdframe.errors import UserError
from gdframe.registry import is_built_in
from gdframe.sameness import same_values


@contextmanager
def unchanged_rows(
    model: object, loss: object, features: Tensor, targets: Tensor
) -> Iterator[None]:
    """Surround a call of a model and its loss.

    Args:
        model: in messages.
        loss: in messages.
        features: (rows, features).
        targets: encoded.

    Raises:
        UserError: PyTorch wrote into the features or the targets.
    """
    before = features._version, targets._version
    yield
    if features._version != before[0]:
        raise UserError(
            f"model {type(model).__name__}: forward changes its features in place, and with them "
            "the data; compute on a copy (features.clone())"
        )
    if targets._version != before[1]:
        raise UserError(
            f"loss {type(loss).__name__}: changes its targets in place, and with them the data; "
            "compute on a copy (targets.clone())"
        )


def encoded(loss: Any, targets: Tensor, dtype: torch.dtype) -> Tensor:
    """Return targets as a loss encodes them; a user's loss is given copies, and is asked twice.

    Raises:
        UserError: it answers differently the second time.
    """
    is_trusted = is_built_in(loss.encode)
    first: Tensor = loss.encode(targets if is_trusted else targets.clone(), dtype)
    if not is_trusted and not same_values(first, loss.encode(targets.clone(), dtype)):
        raise UserError(
            f"loss {type(loss).__name__}.encode: gives other targets when it is called again; "
            "engines call it at different times, so add noise to the data before"
        )
    return first
