"""Mean absolute error.

    MAE = mean(|y - ŷ|)

In the units of the target, at least 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gdframe.metrics.base import SumMetric, absolute_error
from gdframe.registry import METRICS

if TYPE_CHECKING:
    from gdframe.data.rows import Rows


@METRICS.register("mae")
class MeanAbsoluteError(SumMetric):
    """Mean absolute error, in the units of the target."""

    task = "regression"
    takes_weights = True
    is_shift_invariant = True
    degree = 1
    sums = (absolute_error,)

    def from_sums(self, sums: Sequence[float], rows: Rows) -> float:
        """Return the mean over rows and outputs."""
        return sums[0] / rows.targets.numel()
