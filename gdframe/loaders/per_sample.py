"""Stochastic gradient descent: every update takes one row."""

from __future__ import annotations

from typing import ClassVar

from gdframe.loaders.base import Loader
from gdframe.registry import LOADERS


@LOADERS.register("per_sample")
class PerSample(Loader):
    """One row in each update: as many updates an epoch as there are rows.

    Args:
        rows: how many training rows there are.
        shuffle: whether each epoch visits rows in an order of its own.
    """

    variant: ClassVar[str] = "sgd"

    def __init__(self, rows: int, *, shuffle: bool = True) -> None:
        super().__init__(rows, 1, shuffle=shuffle)
