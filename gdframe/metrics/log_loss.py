"""Log loss: the mean of -log of the probability of the right class.

Probabilities are kept above the rounding of their type, so that a wrong row costs at most 16 in
float32 and 36 in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gdframe.metrics.base import Metric, summed
from gdframe.registry import METRICS


@METRICS.register("log_loss")
class LogLoss(Metric):
    """Mean of -log of the probability of the right class."""

    task = "classification"
    needs = "probabilities"
    takes_weights = True

    def __call__(self, predicted: Tensor, targets: Tensor, weights: Tensor | None = None) -> float:
        """Return the mean over all rows."""
        least = torch.finfo(predicted.dtype).eps
        right = predicted.gather(1, targets.view(-1, 1)).double()[:, 0]
        return float(-summed(right.clamp(least, 1 - least).log(), weights) / len(right))
