"""The values that a user's component holds, so that it can be compared with another."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from gdframe.engines.component_difference import VALUES
from gdframe.hidden_state.transparency import is_library
from gdframe.sameness import generator_access

OF_MODULES = frozenset(vars(nn.Module()))
"""Attributes of PyTorch's modules; hooks, for instance, have a new number each time."""

OF_OPTIMIZERS = ("state", "param_groups", "defaults", "_optimizer_", "_zero_grad_", "_warned_")
"""Beginnings of the attributes of PyTorch's optimizers. To build one imports its compiler."""

DEEPEST = 3
"""Most objects inside each other that are looked at."""


def values_of(component: object, *, saved: bool = True) -> Iterator[tuple[str, Any]]:
    """Yield plain values that a component holds, with their places.

    They are in its attributes, its modules, objects of users' classes, functions that close over
    them, and random generators, whose state stands for them.

    Args:
        component: of a user.
        saved: whether to yield the parameters and buffers that its ``state_dict`` holds, too.
    """
    if isinstance(component, torch.optim.Optimizer):
        for index, group in enumerate(component.param_groups):
            for name in group.keys() - {"params"}:
                yield from _inside(f"param_groups[{index}][{name!r}]", group[name], 0)
    modules = component.named_modules() if isinstance(component, nn.Module) else [("", component)]
    for path, part in modules:
        if path and is_library(type(part)) and not saved:
            continue
        for name, value in getattr(part, "__dict__", {}).items():
            if isinstance(part, nn.Module) and name in ("_parameters", "_buffers"):
                tensors = {n: t for n, t in value.items() if t is not None and not is_lazy(t)}
                kept = tensors if saved else {}
                yield from ((f"{path}.{n}".lstrip("."), t.detach()) for n, t in kept.items())
            elif not _is_of_pytorch(part, name):
                yield from _inside(f"{path}.{name}".lstrip("."), value, 0)


def _is_of_pytorch(part: object, name: str) -> bool:
    if isinstance(part, torch.optim.Optimizer):
        return name.startswith(OF_OPTIMIZERS)
    return isinstance(part, nn.Module) and name in OF_MODULES


def _inside(place: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield the plain values in a value."""
    if is_plain(value):
        yield place, value
    elif depth == DEEPEST or isinstance(value, (nn.Module, type, types.ModuleType)):
        return
    elif (access := generator_access(value)) is not None:
        yield place, access[0]()
    elif isinstance(value, types.FunctionType):
        for cell in value.__closure__ or ():
            with suppress(ValueError):  # the cell is empty
                yield from _inside(place, cell.cell_contents, depth + 1)
    elif isinstance(value, functools.partial):
        yield from _inside(place, [*value.args, *value.keywords.values()], depth + 1)
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _inside(place, item, depth + 1)
    elif not is_library(type(value)):
        for name, item in getattr(value, "__dict__", {}).items():
            yield from _inside(f"{place}.{name}", item, depth + 1)


def is_plain(value: Any) -> bool:
    """Return whether a value is a tensor, an array, a number, a text, or a container of such."""
    if isinstance(value, (list, tuple, dict)):
        return all(map(is_plain, value.values() if isinstance(value, dict) else value))
    return isinstance(value, (Tensor, np.ndarray, np.generic, *VALUES))
