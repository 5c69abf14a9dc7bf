"""Looks for hooks, parametrizations and other methods that a user attaches to components."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from gdframe.hidden_state.leaves import HOOKS
from gdframe.registry import is_built_in

GLOBAL_HOOKS = (
    "_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks",
    "_global_backward_pre_hooks",
)  # fmt: skip
"""Where PyTorch registers hooks on all modules."""


def is_untouched_built_in(component: Any) -> bool:
    """Return whether a component is None, or is built in and has nothing attached."""
    if component is None:
        return True
    if not is_built_in(component):
        return False
    return not (
        has_attachments(component) if isinstance(component, nn.Module) else _is_changed(component)
    )


def has_attachments(model: nn.Module) -> bool:
    """Return whether hooks, parametrizations or other methods change what a module does."""
    return (
        any(getattr(nn.modules.module, name, None) for name in GLOBAL_HOOKS)
        or any(_is_changed(m) or "parametrizations" in m._modules for m in model.modules())
        or any(has_hooks(parameter) for parameter in model.parameters())
    )


def _is_changed(component: Any) -> bool:
    """Return whether an object has hooks, or methods that are not those of its class."""
    return any(
        ("_hooks" in name and value) or callable(getattr(type(component), name, None))
        for name, value in vars(component).items()
    )


def has_hooks(parameter: Tensor) -> bool:
    """Return whether something is called with, or changes, a parameter's gradient."""
    return any(getattr(parameter, name, None) for name in HOOKS)
