"""Finds the result of a run that went further before than it does now; it is not replaced."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from gdframe.errors import counted
from gdframe.runs.result import Result
from gdframe.runs.run_folder import RunFolder

BROKEN = ("interrupted", "failed")
"""Statuses of runs that broke off."""

log = logging.getLogger("gdframe")


def further_result(folder: RunFolder, result: Result) -> dict[str, Any] | None:
    """Return the content of a ``result.json`` that must not be replaced; None if there is none.

    It stays if its run had executed more steps, or as many and did not break off. A warning says
    so: a resume may begin at a checkpoint that is far behind, and end before it is as far again.

    Args:
        folder: of the run.
        result: that would replace it.
    """
    before = folder.find_result()[0]
    steps = None if before is None else executed_steps(before)
    if before is None or steps is None or steps < result.gradient_evaluations:
        return None
    breaks_off = result.status in BROKEN and before["status"] not in BROKEN
    if steps == result.gradient_evaluations and not breaks_off:
        return None
    log.warning(
        "warning: %s: the run had executed %s before, and ends after %s now: its model and result "
        "stay, and its curves are those of now; a resume goes on from its newest checkpoint",
        folder, counted(steps, "step"), f"{result.gradient_evaluations:,}",
    )  # fmt: skip
    return before


def executed_steps(result: Mapping[str, Any]) -> int | None:
    """Return the steps that a run had executed by its ``result.json``; None if it does not tell."""
    steps = result.get("gradient_evaluations", result.get("steps"))
    return steps if isinstance(steps, int) else None
