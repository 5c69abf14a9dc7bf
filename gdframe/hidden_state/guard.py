"""The guard around users' components that a run calls: they must leave it as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import RLock
from typing import Any

from torch import Tensor

from gdframe.errors import UserError
from gdframe.hidden_state.attachments import is_untouched_built_in
from gdframe.hidden_state.state import HiddenState
from gdframe.registry import is_built_in

ONE_AT_A_TIME = RLock()
"""Held while a user's component is called and its state is compared: engines use threads."""


class Guard:
    """Notices that a component changes a run.

    The components are copied before a call, but only if they have changed since the last copy:
    several calls between two updates share one.

    Args:
        components: what calls must leave as it is, by the names of messages.

    Attributes:
        components: more may be added before the first call.
        data: tensors that calls must leave too; they are not copied: only writes by torch are
            noticed.
    """

    def __init__(self, components: Mapping[str, Any]) -> None:
        self.components = dict(components)
        self.data: Sequence[Tensor] = ()
        self._saved: dict[str, HiddenState] = {}

    @contextmanager
    def around(
        self,
        who: str,
        component: object,
        arguments: Mapping[str, Tensor] | None = None,
        own: str = "",
    ) -> Iterator[None]:
        """Surround a call of a component; built-in ones are not watched.

        Args:
            who: the component in messages, such as ``stopping rule Plateau``.
            component: the component that is called.
            arguments: of the call by name, which it must leave as they are, too.
            own: name of the component that is called, which may change.

        Raises:
            UserError: a user's component has changed another one, which is undone, or the data.
        """
        if is_built_in(component):
            yield
            return
        with ONE_AT_A_TIME:
            arguments, saved = arguments or {}, self._saved.get(own)
            if saved is None or saved.changed() is not None:
                components = {
                    name: component for name, component in self.components.items() if name != own
                }
                saved = self._saved[own] = HiddenState(components, draws=False, skip=self.data)
            arguments_before = HiddenState(arguments, draws=False)
            tensors = [*(("data", t) for t in self.data), *arguments.items()]
            versions = [tensor._version for _, tensor in tensors]
            try:
                yield
                places = [
                    name
                    for (name, tensor), before in zip(tensors, versions, strict=True)
                    if tensor._version != before
                ]
                place = saved.changed() or arguments_before.changed() or next(iter(places), None)
            finally:
                saved.restore()
                arguments_before.restore()
            if place is not None:
                raise UserError(
                    f"{who}: changes the run's {place}; nothing but updates may change a run, "
                    "since engines read it at different times: compute on copies"
                )


def undisturbed(**components: Any) -> AbstractContextManager[HiddenState | None]:
    """Return a context manager that restores the state of components when it exits.

    Built-in components keep no state, unless a user has attached hooks to them; its value is then
    None, else the saved state.
    """
    changeable = with_state(components)
    return HiddenState(changeable) if changeable else nullcontext()


def with_state(components: Mapping[str, Any]) -> dict[str, Any]:
    """Return the components that may keep state: all but built-in ones with nothing attached."""
    return {
        n: component for n, component in components.items() if not is_untouched_built_in(component)
    }
