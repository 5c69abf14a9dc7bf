"""Comparisons of values and of tensors that treat NaN as equal to NaN."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)
"""Types whose values never change in place."""


def same(a: Any, b: Any) -> bool:
    """Return whether two values are one object, or equal values of one plain type."""
    if a is b:
        return True
    if isinstance(a, PLAIN) and type(a) is type(b):
        return bool(a == b) or a != a
    return False


def same_values(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors have one shape and type and the same values, NaN included."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if torch.equal(a, b):
        return True
    return bool(((a == b) | ((a != a) & (b != b))).all())
