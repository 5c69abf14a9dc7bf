"""Checks whether a module is linear in its parameters."""

from __future__ import annotations

from torch import nn

from gdframe.hidden_state.attachments import has_attachments
from gdframe.models.linear_model import LinearModel

COMPUTATION = {"forward", "__getattribute__"} | {
    name for name, method in vars(nn.Module).items() if callable(method)
} - {"__init__", "__repr__", "__dir__", "extra_repr", "_get_name"}
"""Methods of a module; a subclass that replaces one may compute something else, or keep state."""


def is_linear_in_parameters(model: nn.Module) -> bool:
    """Return whether a model is ``design(x) @ weight.T + bias``, with nothing attached to it."""
    return (
        isinstance(model, LinearModel)
        and all(getattr(type(model), name) is getattr(LinearModel, name) for name in COMPUTATION)
        and not any(hasattr(type(model), name) for name in ("weight", "bias"))
        and not has_attachments(model)
    )
