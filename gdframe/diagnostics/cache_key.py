"""A cache of results by training rows and by the settings of components."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from gdframe.data.rows import Rows
from gdframe.hidden_state.attachments import has_attachments
from gdframe.registry import is_built_in
from gdframe.sameness import PLAIN

T = TypeVar("T")

INTERNALS = vars(nn.Module()).keys()
"""Attributes of each module: its tensors, its submodules, its mode and its hooks."""


class _UnknownError(Exception):
    """An attribute is of a type whose content is not known."""


def settings_key(component: object) -> Hashable | None:
    """Return a value that only components with equal settings share; None if there is none.

    Settings are the type, the attributes and the buffers of a component and of its modules.
    Parameters count by shape and type, and frozen parameters by value. There is no key for
    components with hooks, with attributes other than numbers, text, tensors and containers of
    these, or of classes of others, which may read more than their attributes.

    Args:
        component: a model, a loss or a penalty; None for no loss.

    Example:
        >>> settings_key(nn.Linear(2, 3)) == settings_key(nn.Linear(2, 3))
        True
        >>> settings_key(nn.LeakyReLU(0.1)) == settings_key(nn.LeakyReLU(0.2))
        False
    """
    modules: list[tuple[str, object]] = [("", component)]
    if isinstance(component, nn.Module):
        if has_attachments(component):
            return None
        modules = list(component.named_modules())
    if not all(is_built_in(module) or _is_of_torch(module) for _, module in modules):
        return None
    try:
        return tuple((name, type(module), _settings(module)) for name, module in modules)
    except _UnknownError:
        return None


def _is_of_torch(component: object) -> bool:
    """Return whether a module or an object is of a class of PyTorch, or None."""
    return component is None or type(component).__module__.partition(".")[0] == "torch"


def _settings(component: Any) -> Hashable:
    """Return attributes, slots and tensors of a component or of one module, without submodules."""
    if not isinstance(component, nn.Module):
        return _encoded(object.__getstate__(component))
    attributes = {name: value for name, value in vars(component).items() if name not in INTERNALS}
    parameters = {
        name: (p.shape, p.dtype, p.device) if p.requires_grad else p
        for name, p in component.named_parameters(recurse=False)
    }
    return _encoded([attributes, dict(component.named_buffers(recurse=False)), parameters])


def _encoded(value: Any) -> Hashable:
    """Return a hashable value that determines a value."""
    if isinstance(value, PLAIN):
        return type(value), value
    if type(value) in (Tensor, nn.Parameter) and value.layout == torch.strided:
        return Tensor, value.shape, value.dtype, value.device, digest_of([value])
    if type(value) is dict:
        return dict, tuple((_encoded(key), _encoded(item)) for key, item in value.items())
    if type(value) in (list, tuple):
        return type(value), tuple(map(_encoded, value))
    raise _UnknownError


def digest_of(tensors: Iterable[Tensor]) -> bytes:
    """Return a digest of the values of tensors."""
    digest = hashlib.blake2b()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.digest()


class RowsCache(Generic[T]):
    """Results for training rows; those of rows that are freed are freed too.

    Args:
        most: largest number of results; the oldest gives way.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: dict[Hashable, tuple[list[weakref.ref[Tensor]], T]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, rows: Rows, keys: list[Hashable | None], compute: Callable[[], T]) -> T:
        """Return the result for rows and keys, computed if it is not known.

        Args:
            rows: identified by their tensors, and by how often these were changed in place.
            keys: all else that the result depends on; with None among them nothing is stored.
            compute: returns the result; it must not hold the rows.
        """
        if any(key is None for key in keys):
            return compute()
        tensors = rows.tensors
        whole = (*((id(t), t._version) for t in tensors), *keys)

        def forget(_: object) -> None:  # so a later tensor of the same id finds nothing
            self._entries.pop(whole, None)

        if whole not in self._entries:
            result = compute()
            while len(self._entries) >= self._most:
                self._entries.pop(next(iter(self._entries)), None)
            self._entries[whole] = [weakref.ref(tensor, forget) for tensor in tensors], result
        return self._entries[whole][1]
