"""Mean absolute percentage error, as a share.

    MAPE = mean(|y - ŷ| / |y|)

0.1 is ten per cent. A target of 0 makes it very large, as in scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gdframe.metrics.base import SumMetric, over_outputs
from gdframe.registry import METRICS

if TYPE_CHECKING:
    from gdframe.data.rows import Rows


def relative_error(predicted: Tensor, targets: Tensor) -> Tensor:
    """Return the absolute error by the size of the target, summed over outputs, in float64."""
    least = torch.finfo(torch.float64).eps
    sizes = targets.double().abs().clamp(min=least)
    return over_outputs((predicted.double() - targets).abs() / sizes)


@METRICS.register("mape")
class MeanAbsolutePercentageError(SumMetric):
    """Mean absolute error as a share of the target."""

    task = "regression"
    takes_weights = True
    sums = (relative_error,)

    def from_sums(self, sums: Sequence[float], rows: Rows) -> float:
        """Return the mean over rows and outputs."""
        return sums[0] / rows.targets.numel()
