"""Goes back to the last state at which everything was finite, by doing its steps again."""

from __future__ import annotations

from torch import Tensor

from gdframe.engines.base import Engine


class Recovery:
    """Keeps two snapshots of a run, renewed while it trains.

    Two, because the newest may be younger than the last finite state, and the one before is not.

    Args:
        step: updates done.
        state: of the run then, as its engine returns it.
    """

    def __init__(self, step: int, state: dict[str, Tensor]) -> None:
        self._snapshots = [(step, state)] * 2

    def note(self, step: int, state: dict[str, Tensor]) -> None:
        """Take a snapshot, in place of the older one."""
        self._snapshots = [self._snapshots[1], (step, state)]

    def replay(self, engine: Engine, run: int, step: int) -> int:
        """Bring a run to ``step``, or to the oldest snapshot if that is younger.

        Args:
            engine: whose other runs may be anywhere afterwards.
            run: which of the engine's runs.
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
