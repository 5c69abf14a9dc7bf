"""Metrics: measures of the quality of predictions."""

from gdframe.metrics.accuracy import Accuracy
from gdframe.metrics.base import Metric, SumMetric
from gdframe.metrics.mean_absolute_error import MeanAbsoluteError
from gdframe.metrics.r2 import R2
from gdframe.metrics.rmse import RootMeanSquaredError

__all__ = [
    "Accuracy",
    "MeanAbsoluteError",
    "Metric",
    "R2",
    "RootMeanSquaredError",
    "SumMetric",
]
