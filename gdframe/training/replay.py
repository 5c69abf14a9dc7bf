"""Return to the last state at which everything was finite, by executing its steps again."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from gdframe.engines.base import Engine
from gdframe.hidden_state import HiddenState

log = logging.getLogger("gdframe")

SNAPSHOT_SECONDS = 0.25
"""Training time between two snapshots: the most that is executed twice to recover a state."""

SNAPSHOT_SHARE = 0.1
"""Largest share of the time that is spent on snapshots."""


@dataclass(frozen=True)
class Snapshot:
    """A copy of where a run is.

    Args:
        step: updates done.
        state: of the run, as its engine returns it.
        hidden: what its components keep besides; None after a resume, since no file holds it.
    """

    step: int
    state: dict[str, Tensor]
    hidden: HiddenState | None

    def load(self, engine: Engine, run: int) -> None:
        """Bring a run of an engine to where it was."""
        if self.hidden is not None:
            self.hidden.restore()
        engine.load_state(run, self.state)


class Snapshots:
    """Keeps three snapshots of a run: the two newest, and the newest before the last evaluation.

    If the newest is not finite, an older one is used.

    Args:
        snapshot: the first.

    Attributes:
        recorded: the last step whose loss is known, counted from 1, and this loss.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshots = [snapshot]
        self.recorded = (0, math.nan)

    def add(self, snapshot: Snapshot, evaluated: int) -> None:
        """Add a snapshot, and drop those that are not needed any more.

        Args:
            snapshot: the newest.
            evaluated: the step at which the objective was evaluated last.
        """
        before = [old for old in self._snapshots if old.step <= evaluated][-1:]
        after = [old for old in self._snapshots if old.step > evaluated][-1:]
        self._snapshots = [*before, *after, snapshot]

    def replay(self, engine: Engine, run: int, step: int) -> int:
        """Bring a run to ``step``, or to the oldest snapshot if that lies after it.

        Args:
            engine: its other runs may be anywhere afterwards.
            run: its index in the engine.
            step: updates to be done.

        Returns:
            Updates done.
        """
        earlier = [snapshot for snapshot in self._snapshots if snapshot.step <= step]
        snapshot = (earlier or self._snapshots)[-1 if earlier else 0]
        snapshot.load(engine, run)
        done = snapshot.step
        while done < step:
            last = min(engine.clock.epoch_end(done), step)
            loss = engine.advance(done, last).loss[run, -1].item()
            done = last
            if done == self.recorded[0] and not math.isclose(loss, self.recorded[1], rel_tol=1e-2):
                log.warning(
                    "warning: step %d had the loss %.4g, and %.4g when it was executed again: a "
                    "component keeps state where gdframe does not see it, and the run ends at "
                    "parameters that it did not have", done, self.recorded[1], loss,
                )  # fmt: skip
        return done


def go_back(updates: int, replay: Callable[[int], int], is_finite: Callable[[], bool]) -> None:
    """Return to the latest step at which a run is finite.

    The search doubles the distance back, then halves it.

    Args:
        updates: a number of steps after which the run is not finite.
        replay: brings the run to a step, or to its oldest snapshot; returns the step.
        is_finite: returns whether the run is finite at the step where it is.
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
        """Start anew after snapshots; the longer they took, the later the next ones come."""
        now = time.perf_counter()
        self._last = now + (now - self._start) / SNAPSHOT_SHARE
