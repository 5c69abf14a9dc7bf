"""The registry class: components of one kind, by name."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from gdframe.errors import UserError, did_you_mean, in_words
from gdframe.registry.signatures import Argument, arguments, check_arguments

T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Any])


class Registry(Generic[T]):
    """Components of one kind, by name.

    The package with gdframe's own components is imported at the first look-up, not before, so
    that reading a registry's kind costs nothing.

    Args:
        kind: the config group's name, such as ``optimizer``.
        package: the package whose modules register the built-in components.
        supplied: constructor arguments that the run supplies; all others are configuration.
        several: whether a run takes several components of this kind.

    Example:
        >>> rules = Registry[object]("rule", package="gdframe")
        >>> @rules.register("mine")
        ... class Mine:
        ...     def __init__(self, *, beta: float = 0.9): self.beta = beta
        >>> rules.build("mine", beta=0.5).beta
        0.5
    """

    def __init__(
        self, kind: str, *, package: str, supplied: tuple[str, ...] = (), several: bool = False
    ) -> None:
        self.kind, self.several = kind, several
        self.package = package
        self.supplied = supplied
        self._entries: dict[str, Callable[..., T]] = {}
        self._is_loaded = False

    def register(self, name: str) -> Callable[[C], C]:
        """Return a decorator that registers a class or function under ``name``.

        A component of the same name from the same place, such as the cell of a notebook that is run
        again, takes the place of the earlier one.

        Raises:
            UserError: the name is taken (both origins are named).
        """

        def decorate(component: C) -> C:
            if not component.__module__.startswith("gdframe."):
                self._load()  # a third-party name is compared with the built-in ones
            taken = self._entries.get(name)
            if taken is not None and not _is_rewritten(taken, component):
                raise UserError(
                    f"the {self.kind} name '{name}' is taken by {origin(taken)}; "
                    f"{origin(component)} cannot register it again: choose another name"
                )
            arguments(component)
            self._entries[name] = component
            return component

        return decorate

    def get(self, name: str) -> Callable[..., T]:
        """Return what is registered under ``name``.

        Raises:
            UserError: nothing is; the message suggests the closest name and lists all.
        """
        self._load()
        if name not in self._entries:
            raise UserError(
                f"no {self.kind} is called '{name}'.{did_you_mean(name, self._entries)} "
                f"There are: {in_words(sorted(self._entries))}."
            )
        return self._entries[name]

    def build(self, name: str, /, **given: Any) -> T:
        """Build the component ``name`` with keyword arguments, checked against its signature.

        Arguments the run supplies are passed where the constructor takes them and left out where
        it does not; any other must be one that it takes.

        Raises:
            UserError: an unknown name or argument, or a value of the wrong type.
        """
        component = self.get(name)
        accepted = arguments(component)
        given = {k: v for k, v in given.items() if k in accepted or k not in self.supplied}
        checked = check_arguments(f"{self.kind} '{name}'", accepted, given)
        try:
            return component(**checked)
        except ValueError as error:
            if self.kind in ("engine", "data") or isinstance(error, UserError):
                raise
            raise UserError(f"{self.kind}={name}: {error}") from error

    def settings(self, name: str) -> dict[str, Argument]:
        """Return the arguments of ``name`` that are configuration."""
        found = arguments(self.get(name))
        return {k: argument for k, argument in found.items() if k not in self.supplied}

    def name_of(self, component: object) -> str:
        """Return the name an instance's class is registered under, or the class's own name."""
        names = (name for name, entry in self._entries.items() if entry is type(component))
        return next(names, type(component).__name__)

    def third_party(self) -> Mapping[str, Callable[..., T]]:
        """Return what was registered from outside gdframe, without loading the built-ins."""
        return {
            name: component
            for name, component in self._entries.items()
            if not component.__module__.startswith("gdframe.")
        }

    def _load(self) -> None:
        """Import the package, and those of its files that register a component."""
        if self._is_loaded:
            return
        self._is_loaded = True
        package = importlib.import_module(self.package)
        for path in sorted(Path(package.__path__[0]).glob("*.py")):
            if b"\n@" in (source := path.read_bytes()) and b".register(" in source:
                importlib.import_module(f"{self.package}.{path.stem}")

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        self._load()
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Registry({self.kind!r})"


def _is_rewritten(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Return whether two components are of one name in one module, and not of gdframe."""
    places = [(c.__module__, c.__qualname__, _file(c)) for c in (one, other)]
    return places[0] == places[1] and not one.__module__.startswith("gdframe.")


def _file(component: Callable[..., Any]) -> str | None:
    """Return the file of a component; None for a notebook's cell."""
    module = sys.modules.get(component.__module__)
    return getattr(module, "__file__", None)


def origin(component: Callable[..., Any]) -> str:
    """Say where a component is defined: ``gdframe.optimizers.adam`` or a file's path."""
    if component.__module__.startswith("gdframe."):
        return component.__module__
    try:
        return f"{component.__module__} ({inspect.getfile(component)})"
    except (TypeError, OSError):
        return component.__module__
