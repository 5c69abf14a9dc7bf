"""Overfitting: the validation loss has risen while the training loss fell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RISEN = 0.02
"""Rise of the validation loss above its lowest value that counts as overfitting, relative."""

WOBBLES, LATEST = 5.0, 30
"""The rise exceeds WOBBLES times the mean change between two of the LATEST evaluations, or more:
of 8,000 losses that only fluctuate, at most 3 seemed to rise (12 to 200 evaluations, normal noise).
"""


def overfitting(
    validation: NDArray[np.float64], training: NDArray[np.float64], epochs: NDArray[np.float64]
) -> str | None:
    """Return a sentence if the validation loss has risen while the training loss fell.

    Args:
        validation: loss over validation rows by evaluation, from the start.
        training: loss over training rows by evaluation.
        epochs: the epoch of each evaluation.
    """
    if len(validation) < 10 or not np.isfinite(validation).all():
        return None
    best = int(validation.argmin())
    later = validation[best:]
    if len(later) < 6:
        return None
    lowest, third = float(validation[best]), len(later) // 3
    middle, end = float(later[third:-third].mean()), float(later[-third:].mean())
    wobble = float(np.abs(np.diff(validation[-max(LATEST, len(later)) :])).mean())
    is_rising = end - lowest > max(RISEN * abs(lowest), WOBBLES * wobble) and end > middle
    has_fallen = max(float(training[-third:].mean()), float(training[-1])) < training[best]
    if not is_rising or not has_fallen or validation[-1] <= (1 + RISEN) * lowest:
        return None
    since = "the start" if best == 0 else f"epoch {int(epochs[best]):,}"
    return (
        f"the validation loss has risen since {since}, from {lowest:.4g} to {validation[-1]:.4g}, "
        "while the training loss fell: the model overfits; stopping=early keeps the best epoch"
    )
