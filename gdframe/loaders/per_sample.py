"""Stochastic gradient descent: each step takes one row."""

from __future__ import annotations

from typing import ClassVar

from gdframe.loaders.base import Loader
from gdframe.registry import LOADERS


@LOADERS.register("per_sample")
class PerSample(Loader):
    """One row in each step: an epoch has as many steps as there are rows.

    Args:
        rows: number of training rows.
        shuffle: whether each epoch visits rows in a new random order.
    """

    variant: ClassVar[str] = "sgd"

    def __init__(self, rows: int, *, shuffle: bool = True) -> None:
        super().__init__(rows, 1, shuffle=shuffle)
