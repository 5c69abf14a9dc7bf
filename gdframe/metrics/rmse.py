"""Root of the mean squared error.

    RMSE = sqrt(mean((y - ŷ)²))

In the units of the target, at least 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gdframe.metrics.base import SumMetric, squared_error
from gdframe.registry import METRICS

if TYPE_CHECKING:
    from gdframe.data.rows import Rows


@METRICS.register("rmse")
class RootMeanSquaredError(SumMetric):
    """Root of the mean squared error, in the units of the target."""

    task = "regression"
    takes_weights = True
    is_shift_invariant = True
    degree = 1
    sums = (squared_error,)

    def from_sums(self, sums: Sequence[float], rows: Rows) -> float:
        """Return the root of the mean over rows and outputs."""
        return math.sqrt(sums[0] / rows.targets.numel())
