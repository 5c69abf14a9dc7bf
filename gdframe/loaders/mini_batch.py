"""Mini-batch gradient descent: each step takes a few rows."""

from __future__ import annotations

from typing import ClassVar

from gdframe.loaders.base import Loader
from gdframe.registry import LOADERS


@LOADERS.register("mini_batch")
class MiniBatch(Loader):
    """``batch_size`` rows in each step; the last step of an epoch takes the remaining rows.

    Args:
        rows: number of training rows.
        batch_size: rows of each step, from 1 to ``rows``.
        shuffle: whether each epoch visits rows in a new random order.
    """

    variant: ClassVar[str] = "minibatch"
