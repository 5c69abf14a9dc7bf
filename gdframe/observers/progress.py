"""A progress bar on the terminal: epochs, objective, gradient norm and time left."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from gdframe.observers.base import Observer, Watched
from gdframe.registry import OBSERVERS
from gdframe.runs.result import Result


@contextmanager
def preparing(console: Console | None = None) -> Iterator[None]:
    """Show on a terminal, while an engine is built, that it may compile."""
    console = console or Console(file=sys.stderr)
    if not console.is_terminal:
        yield
        return
    with console.status("preparing the engine, which may compile"):
        yield


@OBSERVERS.register("progress")
class ProgressBar(Observer):
    """Draws a progress bar on standard error if it is a terminal.

    Args:
        console: the console to draw on; by default standard error.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stderr)
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            TextColumn("objective {task.fields[objective]:.6g}"),
            TextColumn("gradient norm {task.fields[gradient_norm]:.3g}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )

    def on_start(self, run: Watched) -> None:
        """Show the bar."""
        row = run.history.last
        self._task = self._bar.add_task(
            "",
            total=run.epochs * run.clock.steps_per_epoch,
            completed=run.step,
            epoch=self._epoch(run),
            objective=row["objective"],
            gradient_norm=row["gradient_norm"],
        )
        self._bar.start()

    def on_block(self, run: Watched, steps: NDArray[np.float64]) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=run.step, epoch=self._epoch(run))

    def on_epoch(self, run: Watched) -> None:
        """Show the epoch's evaluation."""
        row = run.history.last
        self._bar.update(self._task, objective=row["objective"], gradient_norm=row["gradient_norm"])

    def on_end(self, run: Watched, result: Result) -> None:
        """Clear the bar."""
        self._bar.stop()

    def close(self) -> None:
        """Clear the bar."""
        self._bar.stop()

    @staticmethod
    def _epoch(run: Watched) -> str:
        return f"{run.step // run.clock.steps_per_epoch:,}/{run.epochs:,}"
