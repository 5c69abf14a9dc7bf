"""Return to the last state at which everything was finite, by executing its steps again."""

from __future__ import annotations

import time
from collections.abc import Callable

from torch import Tensor

from gdframe.engines.base import Engine

SNAPSHOT_SECONDS = 0.25
"""Training time between two snapshots: the most that is executed twice to recover a state."""

SNAPSHOT_SHARE = 0.1
"""Largest share of the time that is spent on snapshots."""


class Snapshots:
    """Keeps the last two snapshots of a run, and the last before its objective was evaluated.

    The newest may lie after the last finite state. Then an older one is used.

    Args:
        step: updates done.
        state: of the run at that step, as its engine returns it.
    """

    def __init__(self, step: int, state: dict[str, Tensor]) -> None:
        self._snapshots = [(step, state)]

    def add(self, step: int, state: dict[str, Tensor], evaluated: int) -> None:
        """Add a snapshot, and drop those that are not needed any more.

        Args:
            step: updates done.
            state: of the run at that step.
            evaluated: the step at which the objective was evaluated last.
        """
        before = [snapshot for snapshot in self._snapshots if snapshot[0] <= evaluated][-1:]
        after = [snapshot for snapshot in self._snapshots if snapshot[0] > evaluated][-1:]
        self._snapshots = [*before, *after, (step, state)]

    def replay(self, engine: Engine, run: int, step: int) -> int:
        """Bring a run to ``step``, or to the oldest snapshot if that lies after it.

        Args:
            engine: its other runs may be anywhere afterwards.
            run: its index in the engine.
            step: updates to be done.

        Returns:
            Updates done.
        """
        earlier = [snapshot for snapshot in self._snapshots if snapshot[0] <= step]
        done, state = (earlier or self._snapshots)[-1 if earlier else 0]
        engine.load_state(run, state)
        while done < step:
            last = min(engine.clock.epoch_end(done), step)
            engine.advance(done, last)
            done = last
        return done


def go_back(updates: int, replay: Callable[[int], int], is_finite: Callable[[], bool]) -> None:
    """Go back to the last of fewer updates after which a run is finite, by doubling and halving.

    Args:
        updates: after which it is not.
        replay: brings the run to a number of updates, or to its oldest snapshot; returns where.
        is_finite: whether the run is finite there.
    """
    distance, too_late = 1, updates
    while True:
        finite = replay(updates - distance)
        if is_finite():
            break
        if finite > updates - distance:  # the oldest snapshot
            return
        too_late, distance = finite, 2 * distance
    while too_late - finite > 1:
        middle = replay((finite + too_late) // 2)
        if is_finite():
            finite = middle
        else:
            too_late = middle
    replay(finite)


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
