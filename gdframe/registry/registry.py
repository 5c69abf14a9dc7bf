"""The registry class, which holds components of one kind by name."""

from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from gdframe.errors import UserError, reason_of, typed_as, unknown
from gdframe.registry.origins import is_built_in, origin
from gdframe.registry.raised import raised
from gdframe.registry.signatures import Argument, arguments, check_arguments

T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Any])


class Registry(Generic[T]):
    """Components of one kind, by name.

    The first look-up imports the package with the built-in components, so that creating a registry
    takes no time.

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

        A component of the same name from the same file, such as a notebook cell that runs again,
        replaces the earlier one.

        Raises:
            UserError: the name is taken; the message names both origins.
        """

        def decorate(component: C) -> C:
            if not is_built_in(component):
                self._load()  # a user's name is compared with the built-in ones
            earlier = self._entries.get(name)
            if earlier is not None and not _is_redefinition(earlier, component):
                raise UserError(
                    f"the {self.kind} name '{name}' is taken by {origin(earlier)}; "
                    f"{origin(component)} cannot register it again: choose another name"
                )
            arguments(component)
            self._entries[name] = component
            return component

        return decorate

    def get(self, name: str) -> Callable[..., T]:
        """Return the component that is registered under ``name``.

        Raises:
            UserError: the name is not registered; the message suggests the closest and lists all.
        """
        self._load()
        if name not in self._entries:
            raise unknown(f"{self.kind}={name}", self.noun, name, sorted(self._entries))
        return self._entries[name]

    def build(self, name: str, /, **values: Any) -> T:
        """Build the component ``name`` with keyword arguments, checked against its signature.

        Arguments that the run supplies are left out if the constructor does not take them.

        Raises:
            UserError: the name or an argument is unknown, or a value has the wrong type.
        """
        return self._construct(name, values, self.key_of(name), {})

    def configured(
        self, settings: Mapping[str, Any], *, key: str | None = None, **supplied: Any
    ) -> T:
        """Build the component that ``settings["name"]`` names, by ``build``.

        Args:
            settings: name and arguments of the component, plain values. The constructor gets a
                copy of its own: it may change a list.
            key: where the user typed them, for messages; by default ``key_of`` the name.
            supplied: arguments that the run supplies.
        """
        name, values = settings["name"], {k: v for k, v in settings.items() if k != "name"}
        with typed_as({} if key is None else {self.kind: key}):
            self.get(name)
        return self._construct(name, copy.deepcopy(values), key or self.key_of(name), supplied)

    def _construct(
        self, name: str, settings: Mapping[str, Any], key: str, supplied: Mapping[str, Any]
    ) -> T:
        component = self.get(name)
        accepted = arguments(component)
        everything = {**settings, **supplied}
        values = {k: v for k, v in everything.items() if k in accepted or k not in self.supplied}
        left_out = [name for name in supplied if name not in accepted]
        checked = check_arguments(key, accepted, values, left_out)
        try:
            with typed_as({k: f"{key}.{k}" for k in accepted if k not in self.supplied}):
                return component(**checked)
        except ValueError as error:
            if self.kind in ("engine", "data") or isinstance(error, UserError):
                raise
            raise UserError(f"{self.kind}={name}: {error}") from error
        except Exception as error:
            if is_built_in(component) or reason_of(error) or self.kind == "engine":
                raise
            raise UserError(f"{self.kind}={name} cannot be built: {raised(error)}") from error

    def key_of(self, name: str) -> str:
        """Return the key of a component's settings: ``optimizer``, or ``stopping.early``."""
        return f"{self.kind}.{name}" if self.several else self.kind

    @property
    def noun(self) -> str:
        """The kind in words: ``optimizer``, ``stopping rule``."""
        return {"data": "data source", "stopping": "stopping rule"}.get(self.kind, self.kind)

    def settings(self, name: str) -> dict[str, Argument]:
        """Return the arguments of ``name`` that a config sets."""
        accepted = arguments(self.get(name))
        return {k: argument for k, argument in accepted.items() if k not in self.supplied}

    def name_of(self, component: object) -> str:
        """Return the registered name of an instance's class, or else the name of the class."""
        names = (name for name, entry in self._entries.items() if entry is type(component))
        return next(names, type(component).__name__)

    def user_components(self) -> Mapping[str, Callable[..., T]]:
        """Return the components that users add, without loading the built-in ones."""
        return {
            name: component
            for name, component in self._entries.items()
            if not is_built_in(component)
        }

    def _load(self) -> None:
        """Import the package and each of its files that registers a component."""
        if self._is_loaded:
            return
        self._is_loaded = True  # before the imports, which may ask for names
        try:
            self._import()
        except BaseException:
            self._is_loaded = False
            raise

    def _import(self) -> None:
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


def _is_redefinition(earlier: Callable[..., Any], later: Callable[..., Any]) -> bool:
    """Return whether both have the same name in the same module, outside gdframe."""
    places = [(c.__module__, c.__qualname__, _file(c)) for c in (earlier, later)]
    return places[0] == places[1] and not is_built_in(earlier)


def _file(component: Callable[..., Any]) -> str | None:
    """Return the file of a component, or None for a notebook cell."""
    module = sys.modules.get(component.__module__)
    return getattr(module, "__file__", None)
