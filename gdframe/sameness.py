"""Whether a place still holds what it held, and whether tensors hold the same values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)
"""Types whose values never change in place."""


def same(one: Any, other: Any) -> bool:
    """Return whether a place still holds what it held."""
    if one is other:
        return True
    if isinstance(one, PLAIN) and type(one) is type(other):
        return bool(one == other) or one != one
    return False


def same_values(one: Tensor, other: Tensor) -> bool:
    """Return whether tensors hold the same values, NaN among them."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if torch.equal(one, other):
        return True
    return bool(((one == other) | ((one != one) & (other != other))).all())
