"""Mini-batch gradient descent: every update takes a few rows."""

from __future__ import annotations

from typing import ClassVar

from gdframe.loaders.base import Loader
from gdframe.registry import LOADERS


@LOADERS.register("mini_batch")
class MiniBatch(Loader):
    """``batch_size`` rows in each update; the last of an epoch takes what is left.

    Args:
        rows: how many training rows there are.
        batch_size: rows each update takes, from 1 to ``rows``.
        shuffle: whether each epoch visits rows in an order of its own.
    """

    variant: ClassVar[str] = "minibatch"

    def __init__(self, rows: int, batch_size: int, *, shuffle: bool = True) -> None:
        super().__init__(rows, batch_size, shuffle=shuffle)
