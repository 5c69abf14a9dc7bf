"""The minima that runs from many starts reached, with the share of starts for each.

A run has reached a minimum if all eigenvalues of the Hessian are positive and a Newton step, of at
most gradient norm / lambda_min, is short.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdframe.diagnostics.point import is_stationary
from gdframe.stopping import Status
from gdframe.sweeps.comparing.comparison import Record
from gdframe.sweeps.comparing.intervals import share_interval
from gdframe.sweeps.comparing.sweep_metric import value_of

NEAR = 0.02
"""Largest distance between end points of one minimum, in units of one plus their norm."""

FEWEST = 10
"""Fewest runs of a function for a table of minima."""


@dataclass(frozen=True)
class ReachedMinimum:
    """A minimum that runs have reached.

    Args:
        model: name of the function.
        point: coordinates at the end of the run with the lowest objective.
        objective: value at the point.
        runs: number of runs that ended at the minimum.
        starts: number of all runs of the function.
        share: ``runs`` divided by ``starts``.
        interval: 95 % interval of the share, for starts at random.
    """

    model: str
    point: list[float]
    objective: float
    runs: int
    starts: int
    share: float
    interval: tuple[float, float]


def minima(records: Sequence[Record]) -> list[ReachedMinimum]:
    """Return the minima that runs of functions reached, lowest first for each function."""
    by_model: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        if record.result is not None and (point := record.result.get("point")):
            key = str(record.result.get("model")), len(point)
            by_model.setdefault(key, []).append(record)
    return [
        minimum
        for (model, _), runs in by_model.items()
        if len(runs) >= FEWEST
        for minimum in _minima_of(model, runs)
    ]


def _is_minimum(result: Mapping[str, Any]) -> bool:
    """Return whether a run of a function ended at a minimum.

    Without a measured curvature, a converged run counts as one.
    """
    smallest = (result.get("diagnostics") or {}).get("lambda_min")
    if smallest is None:
        return str(result["status"]) == str(Status.CONVERGED)
    point, norm = np.asarray(result["point"]), result["gradient_norm"]
    return smallest > 0 and norm is not None and is_stationary(norm, smallest, point, NEAR)


def _minima_of(model: str, records: Sequence[Record]) -> list[ReachedMinimum]:
    ends = [
        (value, r.result["point"])
        for r in records
        if r.result is not None and (value := value_of(r.result, "objective")) is not None
        and all(isinstance(x, float) and math.isfinite(x) for x in r.result["point"])
        and _is_minimum(r.result)
    ]  # fmt: skip
    ends.sort(key=lambda end: end[0])
    centres: list[NDArray[np.float64]] = []
    values: list[float] = []
    counts: list[int] = []
    for value, coordinates in ends:
        point = np.asarray(coordinates)
        is_near = [np.linalg.norm(point - c) <= NEAR * (1 + np.linalg.norm(c)) for c in centres]
        if any(is_near):
            counts[is_near.index(True)] += 1
        else:
            centres.append(point)
            values.append(value)
            counts.append(1)
    starts = len(records)
    return [
        ReachedMinimum(
            model, centre.tolist(), value, count, starts, count / starts,
            share_interval(count, starts),
        )
        for centre, value, count in zip(centres, values, counts, strict=True)
    ]  # fmt: skip
