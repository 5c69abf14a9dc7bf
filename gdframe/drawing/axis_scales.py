"""The scale of an axis, and numbers on it as people write them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

RATIO = 10.0
"""Smallest ratio of the largest to the smallest value on a logarithmic axis."""

PLAIN = (1e-4, 1e6)
"""Sizes of numbers that are written without an exponent."""

MOST_TICKS = 8
"""Most labels of an axis."""


def is_logarithmic(values: Sequence[float], *, is_score: bool = False) -> bool:
    """Return whether an axis of values is logarithmic.

    It is where all values are above 0 and the largest is more than ten times the smallest.

    Args:
        values: the finite ones are looked at.
        is_score: whether greater is better, as for r2 and accuracy: such an axis is linear.

    Example:
        >>> is_logarithmic([1.0, 200.0]), is_logarithmic([0.0, 200.0]), is_logarithmic([2.0, 3.0])
        (True, False, False)
        >>> is_logarithmic([0.01, 0.9], is_score=True)
        False
    """
    finite = [value for value in values if math.isfinite(value)]
    if is_score or not finite or min(finite) <= 0:
        return False
    return max(finite) / RATIO > min(finite)


def far_out(values: Sequence[float]) -> float:
    """Return the size from which values above 0 are far out, so that they would hide the others.

    On the logarithmic scale, this is three ranges of the middle half and a factor of ten above the
    third quarter (Tukey, "Exploratory data analysis", 1977).

    Example:
        >>> far_out([1.0, 1.0, 1.0, 1.0, 1e9])
        10.0
    """
    low, high = np.quantile(np.log10(values), [0.25, 0.75])
    return float(10 ** (high + 3 * (high - low) + 1))


def short(value: float) -> str:
    """Return a number with three digits, or all digits of a whole part, as people write it.

    Example:
        >>> [short(value) for value in (2154.3, 0.0156, 3e-11, 5.25e9, 0.5, 0.0, -120.0)]
        ['2,154', '0.0156', '3e-11', '5.25e9', '0.5', '0', '-120']
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    if not PLAIN[0] <= abs(float(f"{value:.2e}")) < PLAIN[1]:
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    text = f"{value:,.{max(0, 2 - int(exponent))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def label_axis(
    axis: Axis, low: float, high: float, *, is_log: bool, at: Sequence[float] = ()
) -> None:
    """Set the ticks of an axis, with labels that are plain numbers.

    Args:
        axis: of axes that have their scale.
        low: its lower end.
        high: its upper end.
        is_log: whether its scale is logarithmic.
        at: values to label, if they are few, instead of round numbers.
    """
    axis.set_minor_locator(NullLocator())
    if at and _are_apart(at, low, high, is_log=is_log):
        axis.set_major_locator(FixedLocator(list(at)))
    elif is_log:
        axis.set_major_locator(FixedLocator(log_ticks(low, high)))
    else:
        axis.set_major_locator(MaxNLocator(MOST_TICKS - 2))
    step = 0.0 if is_log or at else (high - low) / MOST_TICKS
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick_label(float(value), step)))


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two numbers above 0, for a logarithmic axis.

    Example:
        >>> log_ticks(0.02, 0.9), log_ticks(1e-9, 1.0)
        ([0.02, 0.05, 0.1, 0.2, 0.5], [1e-08, 1e-06, 0.0001, 0.01, 1.0])
    """
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high) + 1e-9)
    factors = (1, 2, 5) if math.log10(high / low) < 2.5 else (1,)
    every = max(1, -(-(last - first) // MOST_TICKS))
    powers = [power for power in range(first, last + 1) if power % every == 0]
    ticks = [float(f"{factor}e{power}") for power in powers for factor in factors]
    return [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]


def _are_apart(values: Sequence[float], low: float, high: float, *, is_log: bool) -> bool:
    """Return whether labels at values do not overlap."""
    places = np.sort(np.log10(values) if is_log else np.asarray(values))
    width = math.log10(high / low) if is_log else high - low
    return len(values) == 1 or bool(np.diff(places).min() > 0.75 * width / MOST_TICKS)


def tick_label(value: float, step: float) -> str:
    """Return the label of a tick, with the digits in which its neighbours differ.

    Args:
        value: where the tick is.
        step: distance of ticks; 0 if they are not evenly spaced.

    Example:
        >>> tick_label(0.31, 0.01), tick_label(10.25, 0.25), tick_label(-2e-17, 0.5)
        ('0.31', '10.25', '0')
        >>> tick_label(1.0002e9, 1e5), tick_label(3e-7, 1e-7)
        ('1.0002e9', '3e-7')
    """
    if step <= 0:
        return short(value)
    if abs(value) < step / 1e6:
        return "0"
    digits = max(0, math.floor(math.log10(abs(value))) - math.floor(math.log10(step)) + 1)
    mantissa, _, exponent = f"{value:.{min(digits, 15)}e}".partition("e")
    if not PLAIN[0] <= abs(value) < PLAIN[1]:
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}e{int(exponent)}"
    text = f"{value:,.{min(15, max(0, digits - int(exponent)))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
