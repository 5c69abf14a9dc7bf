"""A base class of update rules that count their steps."""

from __future__ import annotations

import gdframe as gd


class Counting(gd.Optimizer):
    """Has a counter ``t`` for each parameter; ``update`` increases it."""

    @staticmethod
    def init_state(params):
        return {"t": gd.counters(params)}
