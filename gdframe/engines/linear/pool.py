"""Threads that run compiled loops side by side; the loops hold no lock while they run."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import torch

SHARES = 8
"""Ranges of work a thread, so that one on a busy core takes fewer of them."""


def side_by_side(tasks: Sequence[Callable[[], None]]) -> None:
    """Execute all tasks, on as many threads as torch is set to use.

    Raises:
        Exception: what a task raised; the others are not begun, and those begun have ended.
    """
    helpers = min(torch.get_num_threads(), len(tasks)) - 1
    pending = deque(tasks)

    def work() -> None:
        while True:
            try:
                task = pending.popleft()
            except IndexError:
                return
            try:
                task()
            except BaseException:
                pending.clear()
                raise

    futures = [_pool(torch.get_num_threads()).submit(work) for _ in range(helpers)]
    try:
        work()
    finally:
        failures = [future.exception() for future in futures]
    for failure in failures:
        if failure is not None:
            raise failure


def shares(count: int) -> list[tuple[int, int]]:
    """Cut ``count`` pieces of work into ranges, several a thread, since threads differ in speed."""
    threads = torch.get_num_threads()
    parts = max(1, min(SHARES * threads if threads > 1 else 1, count))
    cuts = [count * i // parts for i in range(parts + 1)]
    return list(pairwise(cuts))


@cache
def _pool(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, thread_name_prefix="gdframe")


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
