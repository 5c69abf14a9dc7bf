"""Batch gradient descent: every update takes all rows."""

from __future__ import annotations

from typing import ClassVar

from gdframe.loaders.base import Loader
from gdframe.registry import LOADERS


@LOADERS.register("full_batch")
class FullBatch(Loader):
    """All rows in each update, in the order they lie in: one update an epoch.

    Args:
        rows: how many training rows there are.
    """

    variant: ClassVar[str] = "batch"

    def __init__(self, rows: int) -> None:
        super().__init__(rows, rows, shuffle=False)
