"""Return to the last state at which everything was finite, by executing its steps again."""

from __future__ import annotations

import time

from torch import Tensor

from gdframe.engines.base import Engine

SNAPSHOT_SECONDS = 0.25
"""Training time between two snapshots: the most that is executed twice to recover a state."""

SNAPSHOT_SHARE = 0.1
"""Largest share of the time that is spent on snapshots."""


class Snapshots:
    """Keeps two snapshots of a run, renewed while it trains.

    The newest may lie after the last finite state. Then the older one is used.

    Args:
        step: updates done.
        state: of the run at that step, as its engine returns it.
    """

    def __init__(self, step: int, state: dict[str, Tensor]) -> None:
        self._snapshots = [(step, state)] * 2

    def add(self, step: int, state: dict[str, Tensor]) -> None:
        """Add a snapshot in place of the older one."""
        self._snapshots = [self._snapshots[1], (step, state)]

    def replay(self, engine: Engine, run: int, step: int) -> int:
        """Bring a run to ``step``, or to the older snapshot if that lies after it.

        Args:
            engine: its other runs may be anywhere afterwards.
            run: its index in the engine.
            step: updates to be done.

        Returns:
            Updates done.
        """
        older, newer = self._snapshots
        done, state = newer if newer[0] <= step else older
        engine.load_state(run, state)
        while done < step:
            last = min(engine.clock.epoch_end(done), step)
            engine.advance(done, last)
            done = last
        return done


class SnapshotTimer:
    """Time snapshots, so that they take a small share of the time."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._start = 0.0

    def is_due(self) -> bool:
        """Return whether the last snapshots are old."""
        self._start = time.perf_counter()
        return self._start - self._last >= SNAPSHOT_SECONDS

    def restart(self) -> None:
        """Start anew after snapshots; the next ones are as late as these took long."""
        now = time.perf_counter()
        self._last = now + (now - self._start) / SNAPSHOT_SHARE
