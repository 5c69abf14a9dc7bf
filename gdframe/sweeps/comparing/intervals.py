"""Intervals at 95 %: of a mean over seeds, and of a share of runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gdframe.sweeps.comparing.sign_flips import FEWEST_SEEDS

RESAMPLES, MOST_DRAWS = 9999, 20_000_000
"""Resamples of an interval, and most values in all of them."""

BOOTSTRAP_LEVEL, MOST_STUDENT = 0.98, 2.0
"""BOOTSTRAP_LEVEL: nominal level of the bootstrap. MOST_STUDENT: largest reach on each side, in
reaches of Student's interval.

At 0.95 the bootstrap covers the mean of six lognormal values in 88 % of cases. Without a limit, an
outlier among six values makes it several times as long, which covers hardly more.
"""

ROUNDING = 1e-13
"""Standard deviations below this share of the values count as rounding."""


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return an interval of the mean of independent values; None for fewer than six.

    It spans Student's interval, which is right for normal values and contains the mean, and the
    bootstrap-t interval, which reaches further on the side of a long tail (Efron and Tibshirani,
    An Introduction to the Bootstrap, 1993, chapter 12).

    Example:
        >>> mean_interval([1.0, 2.0, 3.0]) is None
        True
        >>> mean_interval([2.0] * 6)
        (2.0, 2.0)
    """
    if len(values) < FEWEST_SEEDS:
        return None
    array = np.asarray(values)
    count, mean, deviation = len(array), float(array.mean()), float(array.std(ddof=1))
    if deviation <= ROUNDING * float(np.abs(array).max()):
        return mean, mean
    from scipy.special import stdtrit  # takes long to import

    student = float(stdtrit(count - 1, 0.975)) / math.sqrt(count)
    resamples = min(RESAMPLES, max(999, MOST_DRAWS // count))
    samples = array[np.random.default_rng(0).integers(0, count, (resamples, count))]
    deviations = samples.std(axis=1, ddof=1)
    is_spread = deviations > ROUNDING * deviation  # a sample may repeat one value
    scores = (samples.mean(axis=1)[is_spread] - mean) / deviations[is_spread]
    tail = (1 - BOOTSTRAP_LEVEL) / 2
    low, high = map(float, np.quantile(scores, [tail, 1 - tail]))
    down, up = (min(max(reach, student), MOST_STUDENT * student) for reach in (high, -low))
    return mean - down * deviation, mean + up * deviation


def share_interval(count: int, total: int) -> tuple[float, float]:
    """Return Wilson's interval of a share of independent runs.

    Args:
        count: number of runs that count.
        total: number of all runs, at least 1.

    Source: Wilson, Probable inference, the law of succession, and statistical inference (JASA
    1927).

    Example:
        >>> [round(share, 3) for share in share_interval(5, 10)]
        [0.237, 0.763]
    """
    z, share = 1.959964, count / total
    centre = share + z**2 / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    scale = 1 + z**2 / total
    # but for rounding, these contain the share
    return min(share, max(0.0, (centre - half) / scale)), max(share, (centre + half) / scale)


def share_text(count: int, total: int) -> str:
    """Return a share of independent runs with its 95 % interval, in words.

    Example:
        >>> share_text(250, 1000)
        '25.0% (22.4% to 27.8%)'
    """
    low, high = share_interval(count, total)
    return f"{count / total:.1%} ({low:.1%} to {high:.1%})"
