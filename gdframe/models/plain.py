"""Checks of modules: linear in their parameters, or with lazy layers."""

from __future__ import annotations

from torch import nn
from torch.nn.parameter import is_lazy as has_no_shape

from gdframe.models.linear_model import LinearModel
from gdframe.sameness import has_attachments


def is_linear_in_parameters(model: nn.Module) -> bool:
    """Return whether a model is ``design(x) @ weight.T + bias``, with nothing attached to it."""
    is_unchanged = type(model).forward is LinearModel.forward
    return isinstance(model, LinearModel) and is_unchanged and not has_attachments(model)


def is_lazy(model: nn.Module) -> bool:
    """Return whether a model has layers that take their shapes from the first rows they see."""
    return any(has_no_shape(parameter) for parameter in model.parameters())
