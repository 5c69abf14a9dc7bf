"""Notices that a model or a loss changes the rows that it is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from gdframe.errors import UserError


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
