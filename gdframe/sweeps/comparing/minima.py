"""Where runs from many starts have ended: the minima found, and the share of starts of each.

A run has found a minimum where the function curves upwards in all directions and Newton's step, of
at most gradient norm / lambda_min, would hardly move it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdframe.diagnostics.explain import is_stationary
from gdframe.stopping import Status
from gdframe.sweeps.comparing.comparison import Record
from gdframe.sweeps.comparing.sweep_metric import WORTHLESS

NEAR = 0.02
"""How far apart two ends of one minimum may lie, in units of one plus their size."""

FEWEST = 10
"""Fewest runs of a function of which a table is made."""


@dataclass(frozen=True)
class Minimum:
    """A point at which runs have ended.

    Args:
        model: the function.
        point: its coordinates, of the run with the lowest objective.
        objective: the value there.
        runs: how many ended there.
        share: of all runs of the function, those too that diverged or were on their way.
    """

    model: str
    point: list[float]
    objective: float
    runs: int
    share: float


def minima(records: Sequence[Record]) -> list[Minimum]:
    """Return the minima that runs of functions have found, lowest first for each function."""
    by_model: dict[str, list[Record]] = {}
    for record in records:
        if record.result is not None and record.result.get("point"):
            by_model.setdefault(str(record.result["model"]), []).append(record)
    found = []
    for model, runs in by_model.items():
        if len(runs) >= FEWEST:
            found += _minima_of(model, runs)
    return found


def _is_minimum(result: Mapping[str, Any]) -> bool:
    """Say whether a run of a function ended at a minimum, or as good as.

    Where its curvature was not measured, that it stood still has to do.
    """
    lowest = (result.get("diagnostics") or {}).get("lambda_min")
    if lowest is None:
        return str(result["status"]) == str(Status.CONVERGED)
    at = np.asarray(result["point"])
    return lowest > 0 and is_stationary(result["gradient_norm"], lowest, at, NEAR)


def _minima_of(model: str, records: Sequence[Record]) -> list[Minimum]:
    ends = [
        (float(r.result["objective"]), r.result["point"])
        for r in records
        if r.result is not None and r.result["status"] not in WORTHLESS
        and all(isinstance(x, float) and math.isfinite(x) for x in r.result["point"])
        and _is_minimum(r.result)
    ]  # fmt: skip
    ends.sort(key=lambda end: end[0])
    centres: list[NDArray[np.float64]] = []
    values: list[float] = []
    counts: list[int] = []
    for value, point in ends:
        at = np.asarray(point)
        near = [
            np.linalg.norm(at - centre) <= NEAR * (1 + np.linalg.norm(centre)) for centre in centres
        ]
        if any(near):
            counts[near.index(True)] += 1
        else:
            centres.append(at)
            values.append(value)
            counts.append(1)
    return [
        Minimum(model, centre.tolist(), value, count, count / len(records))
        for centre, value, count in zip(centres, values, counts, strict=True)
    ]
