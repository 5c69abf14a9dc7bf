"""The paired sign-flip test between levels that are each represented by their best configuration.

If two levels are alike, a difference within a seed is as likely negative as positive. So all signs
of the seeds' differences are flipped, and the observed statistic is compared with those of all
flips (of 9,999 random ones for many seeds). The test is exact for any number of seeds, for ties
and for any distribution of the values.

- The statistic is that of a paired t-test up to a monotone function:
  ``sum(d) / sqrt(sum(d**2))`` for differences ``d`` by seed.
- A level wins if one of its configurations beats the best configuration of the other level. That
  one was chosen because it did best, so its luck is against the winner.
- The winner's luck, of its own choice and of the choice among all pairs, is in the reference: the
  signs of a seed are flipped for all pairs and all configurations together, and each flip counts
  by its largest statistic (maxT).
- A lost run, which diverged or failed, ranks below all others. Two configurations of which one
  has lost a run are compared by the ranks of their values.

Sources: Fisher, The Design of Experiments (1935), section 21 (the sign-flip test); Westfall and
Young, Resampling-Based Multiple Testing (1993) (maxT).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CHANCE = 0.05
"""Largest p of a difference that is called beyond chance."""

FEWEST_SEEDS = math.ceil(math.log2(2 / CHANCE))
"""Fewest seeds with which p can be as low as ``CHANCE``: of n flips, 2 / 2**n are as extreme as
equal signs. This holds for any number of pairs, because their signs are flipped together."""

MOST_ENUMERATED = 13
"""Most seeds for which all flips are made."""

RANDOM_FLIPS, MOST_NUMBERS = 9999, 30_000_000
"""Flips for more seeds, and most numbers of a product of flips and differences at a time."""

SAME = 1e-6
"""Differences below this share of the values count as rounding: float32 has seven digits."""

CLOSE = 1e-13
"""Statistics that differ by less count as equal."""


def order(values: Array) -> tuple[float, bool, float]:
    """Return what configurations are ranked by: share of lost runs, few ended runs, mean.

    Args:
        values: (seeds,) of a configuration, lower is better; infinite for a lost run, NaN for a
            run that has not ended. A configuration of which less than half have ended ranks after
            those with as few lost runs.

    Example:
        >>> order(np.array([1.0, 3.0])), order(np.array([1.0, math.inf]))
        ((0.0, False, 2.0), (0.5, False, 1.0))
    """
    has_ended = ~np.isnan(values)
    finite = values[np.isfinite(values)]
    has_few = bool(2 * has_ended.sum() < len(values))
    if not len(finite):
        return 1.0, has_few, math.inf
    return float(np.isinf(values).sum() / has_ended.sum()), has_few, float(finite.mean())


def best_first(level: Array) -> Array:
    """Return a level's values, (configurations, seeds), in the order of the ranking."""
    return np.array(sorted(level, key=order))


def p_values(levels: Sequence[Array]) -> Array:
    """Return how often chance alone makes the first level win as clearly as it does.

    Args:
        levels: values of each level, (configurations, seeds), best configuration first; lower is
            better; infinite for a lost run, NaN for a run that has not ended. The seeds are the
            same for all levels.

    Returns:
        (levels - 1,): for each other level, the p-value of "the first level has a configuration
        that is better than the best of the other level", for all pairs of levels together.

    Example:
        >>> seeds = np.arange(6.0)
        >>> p_values([seeds[None], seeds[None] + 1])
        array([0.03125])
    """
    first, *others = levels
    statistics = [float(contrasts(level[0], first).sum(axis=1).max()) for level in others]
    references = [
        contrasts(level[0], other) for level in levels for other in levels if level is not other
    ]
    largest = _largest(np.concatenate(references))
    p: Array = (largest[:, None] >= np.array(statistics) - CLOSE).mean(axis=0)
    return p


def contrasts(worse: Array, better: Array) -> Array:
    """Return the differences ``worse - better`` by seed, scaled to a sum of squares of 1.

    Args:
        worse: (configurations, seeds) or (seeds,).
        better: of a shape that broadcasts with it.

    Returns:
        (configurations, seeds); 0 where one has not ended, both are lost, or both agree up to
        rounding.
    """
    worse, better = np.broadcast_arrays(np.atleast_2d(worse), np.atleast_2d(better))
    is_lost = np.isinf(worse) | np.isinf(better)
    low, high = (np.where(is_lost, 0.0, values) for values in (better, worse))
    differences = np.nan_to_num(high - low)
    is_same = np.abs(differences) <= SAME * np.nan_to_num(np.maximum(np.abs(low), np.abs(high)))
    differences[is_same] = 0.0
    if len(rows := np.flatnonzero(is_lost.any(axis=1))):
        alike = np.where(is_same & ~is_lost, better, worse)
        differences[rows] = _rank_differences(alike[rows], better[rows])
    top = np.abs(differences).max(axis=1, keepdims=True)  # so that no square overflows
    scaled = np.divide(differences, top, out=np.zeros_like(differences), where=top > 0)
    norms = np.sqrt((scaled**2).sum(axis=1, keepdims=True))
    contrast: Array = np.divide(scaled, norms, out=np.zeros_like(scaled), where=norms > 0)
    return contrast


def _rank_differences(worse: Array, better: Array) -> Array:
    """Return differences of ranks among the values of both, (configurations, seeds); 0 for NaN."""
    seeds = worse.shape[1]
    is_missing = np.isnan(worse) | np.isnan(better)
    values = np.concatenate([worse, better], axis=1)
    values[np.concatenate([is_missing] * 2, axis=1)] = np.nan
    at_a_time = max(1, MOST_NUMBERS // (2 * seeds) ** 2)
    differences = np.zeros(worse.shape)
    for start in range(0, len(values), at_a_time):
        part = values[start : start + at_a_time]
        is_above = part[:, :, None] > part[:, None, :]
        is_below = part[:, :, None] < part[:, None, :]
        ranks = (is_above.sum(axis=2) - is_below.sum(axis=2)) / 2  # but for a constant
        differences[start : start + at_a_time] = ranks[:, :seeds] - ranks[:, seeds:]
    return np.where(is_missing, 0.0, differences)


def _largest(differences: Array) -> Array:
    """Return the largest sum over seeds of any row of differences, for each flip of the signs."""
    flips = sign_flips(differences.shape[1])
    rows = max(1, MOST_NUMBERS // len(flips))
    largest = np.full(len(flips), -np.inf)
    for start in range(0, len(differences), rows):
        sums = flips @ differences[start : start + rows].T  # (flips, rows)
        np.maximum(largest, sums.max(axis=1), out=largest)
    return largest


def sign_flips(seeds: int) -> Array:
    """Return the signs of each flip, (flips, seeds): all of them, or random ones; first all +1.

    Example:
        >>> sign_flips(2).astype(int).tolist()
        [[1, 1], [-1, 1], [1, -1], [-1, -1]]
    """
    if seeds <= MOST_ENUMERATED:
        is_flipped = (np.arange(2**seeds)[:, None] >> np.arange(seeds)) & 1
    else:
        is_flipped = np.random.default_rng(0).integers(0, 2, (RANDOM_FLIPS, seeds))
        is_flipped[0] = 0
    return np.where(is_flipped, -1.0, 1.0)
