"""The base class of loaders, which define the order of rows and the batch size."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from gdframe.errors import UserError, bad_value
from gdframe.randomness import Purpose, generator


class Loader:
    """Base class of loaders; the three variants differ only in ``batch_size`` and ``shuffle``.

    A loader is like a ``BatchSampler`` of PyTorch: it chooses indices of rows, and reads no data.
    Engines index the data in memory with the result of ``order``. The last step of an epoch takes
    the remaining rows.

    Args:
        rows: number of training rows.
        batch_size: rows of each step, from 1 to ``rows``.
        shuffle: whether each epoch visits rows in a new random order.

    Raises:
        UserError: ``batch_size`` is below 1 or above ``rows``.

    Example:
        >>> loader = Loader(10, batch_size=4)
        >>> loader.steps_per_epoch, [len(b) for b in loader.order(epoch=0, seed=0).split(4)]
        (3, [4, 4, 2])
    """

    variant: ClassVar[str] = "custom"

    def __init__(self, rows: int, batch_size: int, *, shuffle: bool = True) -> None:
        if batch_size < 1:
            raise bad_value(f"batch_size={batch_size}", "a whole number of at least 1")
        if batch_size > rows:
            raise UserError(
                f"batch_size={batch_size}: is more than the {rows} training rows; use "
                f"batch_size={rows} or less, or variant=batch for all rows at once"
            )
        self.rows, self.batch_size, self.shuffle = rows, batch_size, shuffle

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps in an epoch."""
        return -(-self.rows // self.batch_size)

    def order(self, epoch: int, seed: int) -> Tensor | None:
        """Return the order of an epoch's rows, (rows,) indices; None for the order of the data.

        The order depends on (seed, epoch) alone: runs with one seed see the same order, and a
        resumed run needs no history.
        """
        if not self.shuffle:
            return None
        return torch.randperm(self.rows, generator=generator(seed, Purpose.ORDER, epoch))

    def samples(self, steps: int) -> int:
        """Return the number of rows that the first ``steps`` steps of a run see."""
        epochs, rest = divmod(steps, self.steps_per_epoch)
        rows_per_epoch = min(self.rows, self.steps_per_epoch * self.batch_size)
        return epochs * rows_per_epoch + rest * self.batch_size
