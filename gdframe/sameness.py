"""Comparisons of values, tensors and random generators, in which NaN equals NaN."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
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
    if (a.shape, a.dtype, a.layout) != (b.shape, b.dtype, b.layout):
        return False
    if a.layout != torch.strided:
        return all(map(same_values, entries(a), entries(b)))
    if torch.equal(a, b):
        return True
    return bool(((a == b) | ((a != a) & (b != b))).all())


def entries(tensor: Tensor) -> tuple[Tensor, ...]:
    """Return the values of a tensor; of a sparse one its shape, places and values."""
    if tensor.layout == torch.strided:
        return (tensor,)
    shape = torch.tensor(tensor.shape)
    if tensor.layout == torch.sparse_coo:
        tensor = tensor.coalesce()
        return shape, tensor.indices(), tensor.values()
    is_by_row = tensor.layout in (torch.sparse_csr, torch.sparse_bsr)
    parts = ("crow", "col") if is_by_row else ("ccol", "row")
    return (shape, *(getattr(tensor, f"{part}_indices")() for part in parts), tensor.values())


def generator_access(value: Any) -> tuple[Callable[[], Any], Callable[[Any], Any]] | None:
    """Return functions that read and write a random generator's state; None for other values."""
    if isinstance(value, torch.Generator):
        return value.get_state, value.set_state
    if isinstance(value, random.SystemRandom):
        return None
    if value is random or isinstance(value, random.Random):
        return value.getstate, value.setstate
    if isinstance(value, np.random.RandomState):
        return value.get_state, value.set_state
    bits = value.bit_generator if isinstance(value, np.random.Generator) else value
    if isinstance(bits, np.random.BitGenerator):
        return partial(_state_of_bits, bits), partial(_set_bits, bits)
    return None


def _state_of_bits(bits: Any) -> dict[str, Any]:
    """Return the state of a bit generator, with how many children it has spawned."""
    return {**bits.state, "seed_seq": getattr(bits.seed_seq, "state", None)}


def _set_bits(bits: Any, state: Mapping[str, Any]) -> None:
    seeds = state["seed_seq"]
    sequence = bits.seed_seq if seeds is None else np.random.SeedSequence(**seeds)
    bits.__setstate__(({k: v for k, v in state.items() if k != "seed_seq"}, sequence))


def state_text(state: Any) -> Any:
    """Return the state of a generator as a value that ``==`` can compare."""
    if isinstance(state, Tensor):
        return state.numpy().tobytes()
    if isinstance(state, tuple):
        return tuple(s.tobytes() if isinstance(s, np.ndarray) else s for s in state)
    return repr(state)
