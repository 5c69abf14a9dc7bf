"""Functions on tensors that optimizers and engines share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gdframe.errors import UserError

LOW_PRECISION = (torch.float16, torch.bfloat16)
"""Types whose updates are computed in float32."""


def restored(value: Any, like: Any, parameter: Tensor) -> Any:
    """Return a stored state of a parameter: a copy of a tensor, or what else the state became.

    Args:
        value: the stored state.
        like: the initial state, which may have been something else, such as None.
        parameter: whose device takes the copy if ``like`` is no tensor.
    """
    if not isinstance(value, Tensor):
        return value
    device = like.device if isinstance(like, Tensor) else parameter.device
    return value.detach().to(device, copy=True)


def computed(tensor: Tensor) -> Tensor:
    """Return the tensor detached, and in float32 instead of a low-precision type."""
    plain = tensor.detach()
    return plain.float() if plain.dtype in LOW_PRECISION else plain


def storage_of(value: Any) -> int:
    """Return an identifier of the memory of a tensor."""
    return value.untyped_storage()._cdata if isinstance(value, Tensor) else id(value)


def owned(value: Any, used: set[int]) -> Any:
    """Return a state, copied if its memory is in ``used``; add its memory to ``used``."""
    if not isinstance(value, Tensor):
        return value
    if storage_of(value) in used:
        value = value.detach().clone()
    elif value.requires_grad:
        value = value.detach()
    used.add(storage_of(value))
    return value


def described(value: Any) -> str:
    """Return a description of a value for a message."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    return f"a {type(value).__name__}"


def global_norm(tensors: list[Tensor]) -> Tensor:
    """Return the Euclidean norm over all entries of all tensors, a 0-d tensor."""
    tensors = [t.coalesce().values() if t.is_sparse else t for t in tensors]
    flat = tensors[0] if len(tensors) == 1 else torch.cat([t.reshape(-1) for t in tensors])
    norm: Tensor = torch.linalg.vector_norm(flat)
    return norm


def clip_norm(grads: list[Tensor], limit: float | Tensor) -> list[Tensor]:
    """Return gradients scaled to a global norm of at most ``limit`` (Pascanu et al., 2013).

    Gradients below the limit are multiplied by exactly one.
    """
    norm = global_norm(grads)
    scale = torch.where(norm > limit, limit / norm, torch.ones_like(norm))
    return [g * scale for g in grads]


def counters(params: list[Tensor]) -> list[Tensor]:
    """Return a zero 0-d counter for each parameter, in float64 so that it never saturates.

    Raises:
        UserError: the parameters are on a device without float64.
    """
    if any(p.device.type == "mps" for p in params):
        raise UserError("device=mps has no float64, which counters need: use device=cpu")
    return [torch.zeros((), dtype=torch.float64, device=p.device) for p in params]
