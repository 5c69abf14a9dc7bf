"""What an observer is: someone who watches a run through a few events and cannot change it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gdframe.runs.checkpoint_file import Capture
from gdframe.runs.history import History
from gdframe.runs.result import Result
from gdframe.schedules.base import Clock


class Watched(Protocol):
    """What observers see of a run."""

    @property
    def step(self) -> int:
        """Updates done."""

    @property
    def epochs(self) -> int:
        """The limit on epochs."""

    @property
    def clock(self) -> Clock:
        """How steps relate to epochs."""

    @property
    def history(self) -> History:
        """What was measured so far."""

    @property
    def seconds(self) -> float:
        """Time spent training."""

    def parameters(self) -> Mapping[str, Tensor]:
        """Return the current parameters by name."""

    def is_finite(self) -> bool:
        """Say whether the objective and its gradient over all rows are finite now."""

    def capture(self) -> Capture:
        """Return copies of all that is needed to go on from here."""


class Observer:
    """Base of observers: every event does nothing unless it is overridden.

    An observer cannot change the run. It reads parameters from ``run.parameters()``, or from a
    module and an optimizer that it knows: before each event these hold what the run has come to, on
    every engine.
    """

    def on_start(self, run: Watched) -> None:
        """Before the first step, or the first after a resume."""

    def on_block(self, run: Watched, kept: NDArray[np.float64]) -> None:
        """After a block of steps; rows of ``kept`` are (step, loss, gradient norm), thinned."""

    def on_epoch(self, run: Watched) -> None:
        """After an epoch; ``run.history.last`` is its row."""

    def on_end(self, run: Watched, result: Result) -> None:
        """When the run is over."""

    def flush(self) -> None:
        """Hand what is held back to the operating system: a checkpoint is about to be written."""

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold for the observer to go on from it."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what ``state`` returned, of this observer or another, before ``on_start``."""

    def close(self) -> None:
        """Release what is held, also when the run failed; called once, last."""
