"""Checks that a module computes what its class says, with nothing attached to it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.parameter import is_lazy as has_no_shape

from gdframe.models.linear_model import LinearModel


def is_linear_in_parameters(model: nn.Module) -> bool:
    """Return whether a model is ``design(x) @ weight.T + bias``, with nothing attached to it."""
    is_unchanged = type(model).forward is LinearModel.forward
    return isinstance(model, LinearModel) and is_unchanged and not has_attachments(model)


def has_attachments(model: nn.Module) -> bool:
    """Return whether hooks, parametrizations or another ``forward`` change what a module does."""
    for module in model.modules():
        attributes = vars(module)
        if "forward" in attributes or "parametrizations" in attributes.get("_modules", {}):
            return True
        hooks = (
            "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks",
        )  # fmt: skip
        if any(attributes.get(name) for name in hooks):
            return True
    return any(has_hooks(parameter) for parameter in model.parameters())


def has_hooks(parameter: Tensor) -> bool:
    """Return whether something is called with, or changes, a parameter's gradient."""
    names = ("_backward_hooks", "_post_accumulate_grad_hooks")
    return any(getattr(parameter, name, None) for name in names)


def is_lazy(model: nn.Module) -> bool:
    """Return whether a model has layers that take their shapes from the first rows they see."""
    return any(has_no_shape(parameter) for parameter in model.parameters())
