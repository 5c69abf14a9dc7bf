"""The base class of observers, which watch a run through four events and cannot change it."""

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
    """The part of a run that observers see."""

    @property
    def step(self) -> int:
        """Number of steps done."""

    @property
    def epochs(self) -> int:
        """The limit on epochs."""

    @property
    def evaluate_every(self) -> int:
        """Number of epochs between two evaluations."""

    @property
    def clock(self) -> Clock:
        """The conversion between steps and epochs."""

    @property
    def history(self) -> History:
        """All evaluations so far."""

    @property
    def seconds(self) -> float:
        """Training time in seconds."""

    def parameters(self) -> Mapping[str, Tensor]:
        """Return the current parameters by name."""

    def is_finite(self) -> bool:
        """Return whether the objective and its gradient over all rows are finite now."""

    def capture(self) -> Capture:
        """Return copies of all values that are needed to continue the run from here."""


class Observer:
    """Base class of observers; each event does nothing unless a subclass overrides it.

    An observer cannot change the run. It reads parameters from ``run.parameters()``, or from a
    module and an optimizer that it knows. Before each event these hold the run's current values, on
    every engine.
    """

    def on_start(self, run: Watched) -> None:
        """React to the start: before the first step, or the first step after a resume."""

    def on_block(self, run: Watched, steps: NDArray[np.float64]) -> None:
        """React to a block of steps; rows of ``steps`` are (step, loss, gradient norm), thinned."""

    def on_epoch(self, run: Watched) -> None:
        """React to an epoch that was evaluated; ``run.history.last`` is the evaluation."""

    def on_end(self, run: Watched, result: Result) -> None:
        """React to the end of the run."""

    def flush(self) -> None:
        """Pass buffered output to the operating system, before a checkpoint is written."""

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that each checkpoint holds for the observer."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state of this observer or another of its class; called before ``on_start``.

        Args:
            state: what all observers of the run had returned; empty for a new run.
        """

    def close(self) -> None:
        """Release all resources; called once, at last, also if the run failed."""
