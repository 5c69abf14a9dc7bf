"""Shows the progress of a sweep: the runs that ended, their statuses, the best run so far."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from gdframe.errors import printable
from gdframe.sweeps.comparing.sweep_metric import better, value_of
from gdframe.sweeps.executing.job import Job


class SweepProgress:
    """Draws a progress bar on standard error if that is a terminal.

    Args:
        jobs: the runs to train.
        metric: metric of the best run; by default validation loss or objective.
        show: whether to draw the bar.
        console: the console to draw on.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        metric: str | None,
        *,
        show: bool = True,
        console: Console | None = None,
    ) -> None:
        self.console = console or Console(file=sys.stderr)
        self.metric, self._done = metric, 0
        self._common = set.intersection(*(set(job.overrides) for job in jobs)) if jobs else set()
        self._statuses: Counter[str] = Counter()
        self._best: tuple[float, str] | None = None
        self._bar = Progress(
            TextColumn("runs"),
            TextColumn("{task.fields[done]:,}/{task.total:,}"),
            BarColumn(),
            TextColumn("{task.fields[preparing]}"),
            TextColumn("{task.fields[statuses]}"),
            TextColumn("{task.fields[best]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not (show and self.console.is_terminal),
        )
        self._task = self._bar.add_task(
            "", total=len(jobs), done=0, preparing="", statuses="", best=""
        )

    def __enter__(self) -> SweepProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def ended(self, job: Job, result: Mapping[str, Any]) -> None:
        """Count a run that ended, and update the best."""
        self._statuses[str(result["status"])] += 1
        value = value_of(result, self.metric)
        if value is not None and (self._best is None or better(value, self._best[0], self.metric)):
            self._best = value, " ".join(o for o in job.overrides if o not in self._common)
        best = "" if self._best is None else f"best {self._best[0]:.6g} ({self._best[1]})"
        best = escape(printable(best))
        statuses = ", ".join(f"{count:,} {name}" for name, count in self._statuses.most_common())
        self._done += 1
        self._bar.update(self._task, done=self._done, statuses=statuses, best=best)

    def preparing(self, runs: int) -> None:
        """Show that an engine is being built for ``runs`` runs."""
        plural = "" if runs == 1 else "s"
        self._bar.update(self._task, preparing=f"preparing {runs:,} run{plural}, which may compile")

    def going(self, runs: int, share: float) -> None:
        """Move the bar.

        Args:
            runs: number of runs that are training.
            share: share of their epochs that is done, in [0, 1].
        """
        self._bar.update(self._task, completed=self._done + runs * share, preparing="")
