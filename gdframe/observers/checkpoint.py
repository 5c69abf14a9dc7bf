"""The observer that saves checkpoints at intervals and at the end of a run."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gdframe.errors import bad_value
from gdframe.observers.base import Observer, Watched
from gdframe.registry import OBSERVERS
from gdframe.runs.folder import DamagedError
from gdframe.runs.result import Result
from gdframe.runs.run_folder import RunFolder

log = logging.getLogger("gdframe")


@OBSERVERS.register("checkpoint")
class Checkpoint(Observer):
    """Saves checkpoints of a run in its folder, and keeps the last few.

    Args:
        folder: the run folder; checkpoints go into its folder ``checkpoint/``.
        every: interval in epochs as a whole number, or in seconds as text: ``30s``.
        keep: number of checkpoints to keep, at least 1.

    Raises:
        UserError: ``every`` or ``keep`` is out of range.
    """

    def __init__(
        self,
        folder: Path,
        *,
        every: int | str = "30s",
        keep: int = 3,
    ) -> None:
        self.every_epochs, self.every_seconds = interval(every)
        if keep < 1:
            raise bad_value(f"keep={keep}", "a whole number of at least 1")
        self.folder, self.keep = RunFolder(folder), keep
        self._saved_at, self._epoch = time.monotonic(), 0
        self._is_warned = False

    def on_start(self, run: Watched) -> None:
        """Count the epochs of the interval from here."""
        self._epoch = run.step // run.clock.steps_per_epoch

    def on_block(self, run: Watched, steps: NDArray[np.float64]) -> None:
        """Save a checkpoint if the interval in seconds is over, also within an epoch."""
        is_due = (
            self.every_seconds is not None
            and time.monotonic() - self._saved_at >= self.every_seconds
        )
        # a run cannot continue from a state that is not finite
        if is_due and run.is_finite():
            self._save(run)

    def on_epoch(self, run: Watched) -> None:
        """Save a checkpoint if the interval in epochs is over."""
        before, self._epoch = self._epoch, run.step // run.clock.steps_per_epoch
        every = self.every_epochs
        if every is not None and before // every < self._epoch // every:
            self._save(run)

    def on_end(self, run: Watched, result: Result) -> None:
        """Save a checkpoint of the end of the run."""
        self._save(run)

    def _save(self, run: Watched) -> None:
        self._saved_at = time.monotonic()
        try:
            self.folder.save_checkpoint(run.capture(), keep=self.keep)
        except DamagedError as error:  # somebody has put something in the place of its folder
            if not self._is_warned:
                log.warning("warning: %s; until then no checkpoint is saved", error)
            self._is_warned = True


def interval(every: int | str) -> tuple[int | None, float | None]:
    """Return an interval as (epochs, None) or (None, seconds).

    Raises:
        UserError: ``every`` is neither a whole number of at least 1 nor seconds such as ``30s``.

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
    expected = "epochs as a whole number of at least 1, or seconds such as 30s"
    raise bad_value(f"every={every}", expected)
