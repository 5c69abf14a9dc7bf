"""Saves a run at intervals and at its end, so that it can go on after anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gdframe.errors import UserError
from gdframe.observers.base import Observer, Watched
from gdframe.result import Result
from gdframe.storage import save_checkpoint


class Checkpoint(Observer):
    """Keeps the last few checkpoints of a run in a folder.

    Args:
        folder: where they go.
        every: epochs between them as a whole number, or seconds as text: ``30s``.
        keep: how many stay, at least 1.
        clock: seconds from any origin.

    Raises:
        UserError: ``every`` or ``keep`` is out of range.
    """

    def __init__(
        self,
        folder: Path,
        *,
        every: int | str = "30s",
        keep: int = 3,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.every_epochs, self.every_seconds = interval(every)
        if keep < 1:
            raise UserError(f"checkpoint.keep={keep}: must be at least 1")
        self.folder, self.keep, self._clock = folder, keep, clock
        self._saved_at = clock()

    def on_block(self, run: Watched, kept: NDArray[np.float64]) -> None:
        """Save where the interval in seconds is over, be it amid an epoch."""
        due = (
            self.every_seconds is not None and self._clock() - self._saved_at >= self.every_seconds
        )
        # a state that is about to diverge is none to go on from
        if due and run.is_finite():
            self._save(run)

    def on_epoch(self, run: Watched) -> None:
        """Save where the interval in epochs is over."""
        epoch = run.step // run.clock.steps_per_epoch
        if self.every_epochs is not None and epoch % self.every_epochs == 0:
            self._save(run)

    def on_end(self, run: Watched, result: Result) -> None:
        """Save how the run ended."""
        self._save(run)

    def _save(self, run: Watched) -> None:
        save_checkpoint(self.folder, run.capture(), keep=self.keep)
        self._saved_at = self._clock()


def interval(every: int | str) -> tuple[int | None, float | None]:
    """Read an interval as (epochs, None) or (None, seconds).

    Raises:
        UserError: it is neither a whole number of at least 1 nor seconds such as ``30s``.

    Example:
        >>> interval(10), interval("2.5s")
        ((10, None), (None, 2.5))
    """
    if isinstance(every, int) and not isinstance(every, bool) and every >= 1:
        return every, None
    if isinstance(every, str) and every.endswith("s"):
        try:
            seconds = float(every[:-1])
        except ValueError:
            seconds = -1.0
        if seconds >= 0:
            return None, seconds
    raise UserError(
        f"checkpoint.every={every}: expected epochs as a whole number of at least 1, or seconds "
        "such as 30s"
    )
