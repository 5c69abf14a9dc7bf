"""Values that are saved as a whole: tensors, arrays, buffers and random generators."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdframe.sameness import entries, generator_access, same_values, state_text

Restore = Callable[[], None]
Changed = Callable[[], bool]
Leaf = tuple[Changed, Restore]
"""Functions that tell whether a value has changed since it was saved, and restore it."""


def leaf_of(value: Any) -> Leaf | None:
    """Save an array, a buffer or a random generator; return None for other values."""
    if isinstance(value, np.ndarray):
        return _array_leaf(value)
    if isinstance(value, (bytearray, array)):
        return _buffer_leaf(value)
    if (access := generator_access(value)) is not None:
        return _generator_leaf(*access)
    return None


LAYOUTS = (torch.strided, torch.sparse_coo)
"""Layouts of tensors that can be saved."""


HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")
"""Attributes with the hooks of a tensor."""


def tensor_leaf(value: Tensor) -> Leaf:
    """Save the values of a tensor of one of the ``LAYOUTS``."""
    saved = value.detach().clone()
    is_sparse = value.layout == torch.sparse_coo
    before = entries(saved)

    def has_changed() -> bool:
        return not all(map(same_values, entries(value.detach()), before))

    def restore() -> None:
        with torch.no_grad():
            if not is_sparse and value.shape != saved.shape:
                value.data = torch.empty_like(saved)
            value.copy_(saved)

    return has_changed, restore


def _array_leaf(value: np.ndarray[Any, Any]) -> Leaf:
    saved = value.copy()

    def restore() -> None:
        value[...] = saved

    return lambda: value.tobytes() != saved.tobytes(), restore


def _buffer_leaf(value: bytearray | array[Any]) -> Leaf:
    saved, text = value[:], bytes(value)

    def restore() -> None:
        value[:] = saved  # type: ignore[assignment]

    return lambda: bytes(value) != text, restore


def _generator_leaf(read: Callable[[], Any], write: Callable[[Any], Any]) -> Leaf:
    saved = read()
    text = state_text(saved)
    return lambda: state_text(read()) != text, lambda: write(saved)
