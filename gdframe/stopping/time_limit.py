"""Time limit: the run has trained for a given time."""

from __future__ import annotations

from gdframe.errors import bad_value
from gdframe.registry import STOPPING
from gdframe.stopping.base import EpochEnd, Memory, Status, StoppingRule, Verdict


@STOPPING.register("time")
class TimeLimit(StoppingRule):
    """Ends a run after a training time.

    Args:
        seconds: training time in seconds, above 0; None (null in a config) never ends a run.

    Raises:
        UserError: ``seconds`` is out of its range.
    """

    def __init__(self, *, seconds: float | None = None) -> None:
        if seconds is not None and not seconds > 0:
            raise bad_value(f"seconds={seconds:g}", "a number above 0, or null")
        self.seconds = seconds

    def judge(self, memory: Memory, end: EpochEnd) -> Verdict | None:
        """Return None: ``judge_time`` decides."""
        return None

    def judge_time(self, seconds: float) -> Verdict | None:
        """Return a verdict if the training time has reached the limit."""
        if self.seconds is None or seconds < self.seconds:
            return None
        return Verdict(
            Status.TIME_LIMIT,
            f"trained for {seconds:.3g} s, at the limit of {self.seconds:g} s",
        )
