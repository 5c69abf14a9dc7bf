"""Calls the observers of a run: they watch it, and can neither change it nor harm another run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gdframe.errors import UserError
from gdframe.observers.base import Observer
from gdframe.registry import OBSERVERS, is_built_in
from gdframe.runs.files import NotWrittenError, storing
from gdframe.stopping import Status, Verdict

if TYPE_CHECKING:
    from gdframe.training.run import Run

log = logging.getLogger("gdframe")


class Watchers:
    """The observers of a run.

    Args:
        run: the run that is observed.
        observers: in the order in which they are called.
    """

    def __init__(self, run: Run, observers: list[Observer]) -> None:
        self.observers = observers
        self._run = run
        self._failed: set[int] = set()

    def start(self, states: Mapping[str, Tensor]) -> Verdict | None:
        """Give the observers what a checkpoint holds of them, and tell them of the start."""
        restored = self._call("load_state", lambda observer: observer.load_state(states))
        return restored or self.tell("on_start")

    def tell(self, event: str, *arguments: Any) -> Verdict | None:
        """Tell each observer of an event; return the verdict on a run whose observer raised.

        The module and the optimizer, which users' observers may read, get their values before.
        """
        run = self._run
        if not all(map(is_built_in, self.observers)):
            run.engine.copy_to_module(run.index)
        return self._call(event, lambda observer: getattr(observer, event)(run, *arguments))

    def flush(self) -> None:
        """Have the observers hand what they hold back to the operating system."""
        self._call("flush", lambda observer: observer.flush())

    def close(self) -> None:
        """Close the observers, also those that raised."""
        self._failed.clear()
        with ExitStack() as stack:  # each is closed, also after an error of another
            for observer in reversed(self.observers):
                stack.callback(self._call, "close", lambda observer: observer.close(), [observer])

    def _call(
        self,
        event: str,
        call: Callable[[Observer], None],
        observers: Sequence[Observer] | None = None,
    ) -> Verdict | None:
        verdict = None
        for observer in self.observers if observers is None else observers:
            if id(observer) in self._failed:
                continue
            try:
                with self._unchanged(observer):
                    call(observer)
            except (UserError, NotWrittenError, MemoryError):
                raise
            except Exception as error:
                self._failed.add(id(observer))
                name = OBSERVERS.name_of(observer)
                verdict = Verdict(
                    Status.FAILED,
                    f"observer {name} raised {type(error).__name__} in {event}: {error}",
                )
                log.error("%s", verdict.reason, exc_info=error)
        return verdict

    @contextmanager
    def _unchanged(self, observer: Observer) -> Iterator[None]:
        """Surround a call of an observer.

        Raises:
            NotWrittenError: the disk refused what a built-in observer was writing.
            UserError: a user's observer has changed the run.
        """
        if is_built_in(observer):
            with storing():
                yield
            return
        with self._run.spec.problem.guard.around(f"observer {type(observer).__name__}", observer):
            yield
