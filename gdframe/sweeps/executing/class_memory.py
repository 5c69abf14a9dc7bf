"""Saves what the classes of users' components keep, and restores it before each run of a sweep."""

from __future__ import annotations

from gdframe.hidden_state import HiddenState
from gdframe.registry import OBSERVERS, REGISTRIES


class ClassMemory:
    """A copy of the attributes of users' classes, and of the objects that they name.

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

    def has_changed(self) -> bool:
        """Return whether something has changed since the copy was made."""
        return self._saved is not None and self._saved.changed() is not None

    def restore(self) -> None:
        """Put everything back as it was when the copy was made."""
        if self._saved is not None:
            self._saved.restore()
