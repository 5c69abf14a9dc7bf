"""Training time of each run of a group."""

from __future__ import annotations

import time


class SharedStopwatch:
    """Divides the time that passes equally among the runs that are still training.

    Args:
        runs: how many runs start.
    """

    def __init__(self, runs: int) -> None:
        self._runs, self._spent, self._since = runs, 0.0, time.perf_counter()

    @property
    def seconds(self) -> float:
        """Training time of a run that has trained from the start until now."""
        return self._spent + (time.perf_counter() - self._since) / max(1, self._runs)

    def leave(self) -> None:
        """Divide by one run fewer from now on: one has ended."""
        now = time.perf_counter()
        self._spent += (now - self._since) / max(1, self._runs)
        self._since, self._runs = now, self._runs - 1
