"""What surrounds each call of an observer: it watches, and cannot change the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gdframe.engines.base import Run
from gdframe.errors import UserError
from gdframe.files import storing
from gdframe.hidden_state import HiddenState
from gdframe.observers.base import Observer


def is_own(observer: Observer) -> bool:
    """Return whether an observer is gdframe's: it reads no module, and its files are the run's."""
    return type(observer).__module__.startswith("gdframe.")


@contextmanager
def watching(observer: Observer, run: Run) -> Iterator[None]:
    """Surround a call of an observer.

    Raises:
        NotWrittenError: the disk refused what gdframe's own observer was writing. What somebody
            else's raises is passed on as it is.
        UserError: somebody else's has changed the run; the change is undone.
    """
    if is_own(observer):
        with storing():
            yield
        return
    parts = {
        "model": run.objective.model, "loss": run.objective.loss,
        "penalty": run.objective.penalty, "optimizer": run.optimizer,
    }  # fmt: skip
    with HiddenState(parts, draws=False) as kept:
        yield
        if (place := kept.changed()) is not None:
            raise UserError(
                f"observer {type(observer).__name__}: changes the run's {place}; an observer "
                "watches, and cannot change the run"
            )
