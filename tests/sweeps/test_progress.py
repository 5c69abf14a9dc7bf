"""The progress bar of a sweep on a terminal."""

from __future__ import annotations

import io
from types import SimpleNamespace

from rich.console import Console

from gdframe.sweeps.executing.sweep_progress import SweepProgress


def test_the_bar_moves_within_a_group_and_names_the_best_run():
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=120)
    jobs = [SimpleNamespace(overrides=(f"lr={lr}", "epochs=9")) for lr in (0.1, 0.2, 0.3, 0.4)]
    with SweepProgress(jobs, None, console=console) as display:
        bar = display._bar
        display.preparing(4)
        bar.refresh()
        assert "preparing 4 runs, which may compile" in text.getvalue()
        display.going(4, 0.25)
        assert bar.tasks[0].fields["preparing"] == ""
        assert bar.tasks[0].completed == 1.0
        display.ended(jobs[1], {"status": "converged", "objective": 2.0})
        display.ended(jobs[3], {"status": "diverged", "objective": 1.0})
        display.going(2, 0.5)
        assert bar.tasks[0].completed == 3.0
        bar.refresh()
    last = text.getvalue()
    assert "2/4" in last
    assert "1 converged, 1 diverged" in last
    assert "best 2 (lr=0.2)" in last


def test_nothing_is_drawn_without_a_terminal():
    text = io.StringIO()
    with SweepProgress([], None, console=Console(file=text)) as display:
        display.going(1, 0.5)
    assert text.getvalue() == ""
