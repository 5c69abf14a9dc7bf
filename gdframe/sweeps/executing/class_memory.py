"""Saves what users' classes keep, and settings of the process, for each run of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from gdframe.hidden_state import HiddenState
from gdframe.registry import OBSERVERS, REGISTRIES

SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    (np.geterr, lambda settings: np.seterr(**settings)),
)
"""Functions that read and write settings of the process, which constructors may change."""


class ClassMemory:
    """A copy of the attributes of users' classes, of what they name, and of process settings.

    A constructor may set an attribute of its class, and an update rule may count its calls there. A
    process shares that between its runs, which should give the results that they give alone.
    Observers are left out: they may collect over all runs.

    Attributes:
        is_used: whether there are components of users; built-in ones keep nothing.
    """

    def __init__(self) -> None:
        roots = {
            f"{registry.kind} {name}": component
            for registry in REGISTRIES.values()
            if registry is not OBSERVERS
            for name, component in registry.user_components().items()
        }
        self.is_used = bool(roots)
        self._saved = HiddenState(roots, draws=False) if roots else None
        self._settings = [read() for read, _ in SETTINGS]

    def has_changed(self) -> bool:
        """Return whether something has changed since the copy was made."""
        is_changed = self._saved is not None and self._saved.changed() is not None
        return is_changed or self._settings != [read() for read, _ in SETTINGS]

    def restore(self) -> None:
        """Put everything back as it was when the copy was made."""
        if self._saved is not None:
            self._saved.restore()
        for (read, write), value in zip(SETTINGS, self._settings, strict=True):
            if read() != value:
                write(value)
