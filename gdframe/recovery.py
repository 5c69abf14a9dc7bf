"""Goes back to the last state at which everything was finite, by doing its steps again."""

from __future__ import annotations

import time

from gdframe.engines.base import Engine

SNAPSHOT_SECONDS = 0.25
"""How much work at most is done twice to recover a state."""


class Recovery:
    """Keeps two snapshots of a run, renewed while it trains.

    Two, because the newest may be younger than the last finite state, and the one before is not.

    Args:
        engine: whose first run is kept.
        step: updates done.
    """

    def __init__(self, engine: Engine, step: int) -> None:
        self.engine = engine
        self._snapshots = [(step, engine.state(0))] * 2
        self._taken = time.perf_counter()

    def note(self, step: int) -> None:
        """Take a snapshot if the last one is old."""
        now = time.perf_counter()
        if now - self._taken > SNAPSHOT_SECONDS:
            self._snapshots = [self._snapshots[1], (step, self.engine.state(0))]
            self._taken = now

    def replay(self, step: int) -> int:
        """Bring the run to ``step``, or to the oldest snapshot if that is younger.

        Returns:
            Updates done.
        """
        older, newer = self._snapshots
        done, state = newer if newer[0] <= step else older
        self.engine.load_state(0, state)
        while done < step:
            last = min(self.engine.clock.epoch_end(done), step)
            self.engine.advance(done, last)
            done = last
        return done
