"""A grid over a landscape that is finer where the objective bends, and the scale of its colours.

An even grid shows a narrow valley as a row of beads: a point of the grid that happens to lie on its
floor is dark, the next is not. So cells in which the colours bend are divided in four, again and
again; in the others, the colours are interpolated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SMALLEST, HIGHEST = 1e-5, 98.0
"""HIGHEST: percentile of the objective with the brightest colour. SMALLEST: darkest value of a
logarithmic scale, as a share of the brightest."""

RATIO = 10.0
"""Smallest ratio of the largest to the smallest value on a logarithmic scale."""

BEND = 0.01
"""Largest second difference, as a share of all colours, that is not refined."""

LARGEST = 1e300
"""Stand-in for an objective that is not finite, for interpolation."""

FINEST = 401
"""Most points along an axis: about one for every two dots of the picture."""


@dataclass(frozen=True)
class Scale:
    """The scale of a landscape's colours.

    Args:
        base: subtracted from the objective: its known minimum, or 0.
        low: the darkest value, after the subtraction.
        high: the brightest.
        is_log: whether colours follow the logarithm; else they follow the square root of the
            distance to ``low``, as distances from a minimum do.
    """

    base: float
    low: float
    high: float
    is_log: bool

    def share(self, objective: Array) -> Array:
        """Return the place of objectives between the darkest colour, 0, and the brightest, 1.

        Objectives above the brightest colour are above 1; those below the darkest are 0.
        """
        values = np.nan_to_num(objective - self.base, nan=LARGEST, posinf=LARGEST)
        values = np.maximum(values, self.low)
        if self.is_log:
            shares: Array = np.log(values / self.low) / np.log(self.high / self.low)
        else:
            shares = np.sqrt((values - self.low) / (self.high - self.low))
        return shares

    def value(self, shares: Array) -> Array:
        """Return the objectives, after the subtraction, at places between colours."""
        if self.is_log:
            values: Array = self.low * (self.high / self.low) ** shares
        else:
            values = self.low + (self.high - self.low) * shares**2
        return values


def scale_of(objective: Array, minimum: float | None = None) -> Scale:
    """Return the scale of colours that shows a landscape's bottom and its slopes.

    Args:
        objective: at points of the landscape; those that are not finite are left out.
        minimum: of the objective, if it is known.
    """
    finite = objective[np.isfinite(objective)]
    rounding = 1e-6 * abs(minimum or 0.0)
    base = minimum if minimum is not None and finite.min() >= minimum - rounding else 0.0
    values = finite - base
    low, high = float(values.min()), float(np.percentile(values, HIGHEST))
    is_log = high > 0 and (low > 0 or base == minimum) and high > RATIO * low
    if is_log:
        return Scale(base, max(low, SMALLEST * high), high, is_log=True)
    return Scale(0.0, low + base, max(high, low + 1e-12 * max(1.0, abs(low))) + base, is_log=False)


def refine(
    axes: Sequence[Array], objective: Array, evaluate: Callable[[Array], Array],
    most: int, minimum: float | None = None,
) -> tuple[tuple[Array, ...], Array]:  # fmt: skip
    """Return a finer grid, and the objective on it.

    Args:
        axes: (points,) coordinates along each of one or two axes, evenly spaced.
        objective: (points,) or (points of the second axis, points of the first axis).
        evaluate: returns the objective (points,) at points (points, axes).
        most: most points to evaluate.
        minimum: of the objective, if it is known.
    """
    grid = tuple(axes)
    while most > 0 and 2 * max(map(len, grid)) - 1 <= FINEST:
        scale = scale_of(objective, minimum)
        bend = _bend(np.minimum(scale.share(objective), 1))
        if not (bend > BEND).any():
            break
        grid = tuple(np.linspace(axis[0], axis[-1], 2 * len(axis) - 1) for axis in grid)
        shares, bend = _doubled(scale.share(objective)), _doubled(bend)
        finer = scale.value(shares) + scale.base
        is_old = np.zeros(finer.shape, dtype=bool)
        is_old[(slice(None, None, 2),) * finer.ndim] = True
        finer[is_old] = objective.ravel()
        wanted = np.flatnonzero((bend > BEND) & ~is_old)
        wanted = wanted[np.argsort(-bend.ravel()[wanted], kind="stable")][:most]
        most -= len(wanted)
        places = np.stack([axis.ravel() for axis in np.meshgrid(*grid)], axis=1)
        finer.ravel()[wanted] = evaluate(places[wanted])
        objective = finer
    return grid, objective


def _bend(shares: Array) -> Array:
    """Return the largest second difference at each point of a grid or next to it."""
    bend = np.zeros_like(shares)
    for axis in range(shares.ndim):
        view, along = np.moveaxis(bend, axis, 0), np.moveaxis(shares, axis, 0)
        np.maximum(view[1:-1], np.abs(np.diff(along, 2, axis=0)), out=view[1:-1])
    for axis in range(shares.ndim):
        view = np.moveaxis(bend, axis, 0)
        before = view.copy()
        np.maximum(view[1:], before[:-1], out=view[1:])
        np.maximum(view[:-1], before[1:], out=view[:-1])
    return bend


def _doubled(values: Array) -> Array:
    """Return values on a grid of half the distance, interpolated."""
    for axis in range(values.ndim):
        along = np.moveaxis(values, axis, 0)
        finer = np.empty((2 * len(along) - 1, *along.shape[1:]))
        finer[::2], finer[1::2] = along, (along[:-1] + along[1:]) / 2
        values = np.moveaxis(finer, 0, axis)
    return np.ascontiguousarray(values)
