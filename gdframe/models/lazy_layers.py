"""Lazy layers, which take their shapes from the first rows that they see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy as has_no_shape

from gdframe.randomness import restored_generators


def is_lazy(model: nn.Module) -> bool:
    """Return whether a model has layers without shapes."""
    return any(has_no_shape(parameter) for parameter in model.parameters())


@torch.no_grad()
def fill_lazy_layers(
    model: nn.Module, build: Callable[[], nn.Module], example: Tensor
) -> None:  # fmt: skip
    """Give lazy layers the shapes and starting values that a first call would give them.

    Another model is called, so that the call leaves no trace, as in counters.

    Args:
        model: its lazy layers are filled in place.
        build: builds the model again.
        example: a few rows, (rows, features).

    Raises:
        Exception: what the model raises.
    """
    seen: dict[str, tuple[Any, Any]] = {}
    with restored_generators(example.device, all_libraries=True):
        trial = build()
    for path, layer in trial.named_modules():
        if isinstance(layer, LazyModuleMixin):
            hooked: Any = layer

            def remember(_: nn.Module, args: Any, kwargs: Any, path: str = path) -> None:
                seen.setdefault(path, (args, kwargs))

            hooked.register_forward_pre_hook(remember, prepend=True, with_kwargs=True)
    with restored_generators(example.device, all_libraries=True):
        trial(example)
    for path, (args, kwargs) in seen.items():
        module = model.get_submodule(path)
        if isinstance(module, LazyModuleMixin):  # a module of two places has been filled
            module._infer_parameters(module, args, kwargs)
