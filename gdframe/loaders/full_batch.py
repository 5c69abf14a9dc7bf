"""Batch gradient descent: each step takes all rows."""

from __future__ import annotations

from typing import ClassVar

from gdframe.loaders.base import Loader
from gdframe.registry import LOADERS


@LOADERS.register("full_batch")
class FullBatch(Loader):
    """All rows in each step, in the order of the data: an epoch is one step.

    Args:
        rows: number of training rows.
    """

    variant: ClassVar[str] = "batch"

    def __init__(self, rows: int) -> None:
        super().__init__(rows, rows, shuffle=False)
