"""Coefficient of determination.

    R² = 1 - sum((y - ŷ)²) / sum((y - mean(y))²)

1 is perfect, 0 is as good as the mean, and NaN means that all targets are equal. The sums include
all outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gdframe.metrics.base import SumMetric, squared_error
from gdframe.registry import METRICS

if TYPE_CHECKING:
    from gdframe.data.rows import Rows


@METRICS.register("r2")
class R2(SumMetric):
    """Coefficient of determination: 1 is perfect, 0 is as good as the mean of the targets."""

    task = "regression"
    maximize = True
    takes_weights = True
    is_shift_invariant = True
    degree = 0
    sums = (squared_error,)

    def from_sums(self, sums: Sequence[float], rows: Rows) -> float:
        """Return 1 minus the squared error divided by the variation of the targets."""
        return 1 - sums[0] / rows.variation if rows.variation > 0 else math.nan
