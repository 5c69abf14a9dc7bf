"""Observers: which events they see, and what they need not have."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from trainers import make

import gdframe as gd
from gdframe.stopping import Status


def test_observers_see_four_events_in_order_and_are_closed_after_a_failure():
    seen: list[str] = []

    class Log(gd.Observer):
        def on_start(self, run):
            seen.append("start")

        def on_block(self, run, steps):
            seen.append("block")

        def on_epoch(self, run):
            seen.append("epoch")

        def on_end(self, run, result):
            seen.append("end")

        def close(self):
            seen.append("close")

    make(epochs=2, observers=[Log()]).fit()
    assert seen == ["start", "block", "epoch", "block", "epoch", "end", "close"]

    class Break(Log):
        def on_epoch(self, run):
            raise ConnectionError("broken")

    seen.clear()
    result = make(epochs=2, observers=[Break()]).fit()
    assert seen == ["start", "block", "close"]
    assert result.status == Status.FAILED
    assert result.reason == "observer Break raised ConnectionError in on_epoch: broken"
    assert result.epochs == 1
    assert math.isfinite(result.objective)


def test_observers_need_no_hash():
    @dataclass
    class Plain(gd.Observer):
        epochs: int = 0

        def on_epoch(self, run):
            self.epochs += 1

    observers = [Plain(), Plain()]
    make(epochs=4, observers=observers).fit()
    assert [observer.epochs for observer in observers] == [4, 4]


def test_every_observer_is_closed():
    class Fails(gd.Observer):
        def close(self):
            raise gd.UserError("not closed")

    class Closes(gd.Observer):
        closed = False

        def close(self):
            self.closed = True

    last = Closes()
    with pytest.raises(gd.UserError, match="not closed"):
        make(observers=[Fails(), last]).fit()
    assert last.closed
