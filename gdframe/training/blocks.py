"""The number of steps that an engine executes before the runs are judged again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

BLOCK_SECONDS = 0.1
"""Time of a block of steps: a run notices Ctrl-C and its time limit within it."""

FIRST_BLOCK, MOST_STEPS = 16, 1 << 22
"""Steps of the first block, and most steps of any, over all runs: it bounds the traces' memory."""


class BlockSizer:
    """Adapts the number of steps in a block so that a block takes about ``BLOCK_SECONDS``.

    Attributes:
        next_steps: steps in the next block.
        seconds: the last block took.
    """

    def __init__(self) -> None:
        self.next_steps = FIRST_BLOCK
        self.seconds = 0.0

    @contextmanager
    def measure(self, runs: int) -> Iterator[None]:
        """Measure a block of ``runs`` runs, and adapt the size of the next one."""
        start = time.perf_counter()
        yield
        self.seconds = time.perf_counter() - start
        growth = min(8.0, BLOCK_SECONDS / max(self.seconds, 1e-9))
        self.next_steps = min(max(1, int(self.next_steps * growth)), max(1, MOST_STEPS // runs))
