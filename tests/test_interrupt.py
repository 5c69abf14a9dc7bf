"""Ctrl-C and other signals, in programs that use signals and timers themselves."""

from __future__ import annotations

import importlib
import signal
import sys
import time

import pytest

import gdframe as gd
from gdframe.interrupt import raising


@pytest.fixture
def timer(monkeypatch):
    """A timer of the calling program, of 100 s."""
    monkeypatch.delitem(sys.modules, "slow_to_import", raising=False)
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 100)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def handler(number, frame):
    raise AssertionError("the timer has not passed")


def test_a_timer_of_the_calling_program_goes_on_and_does_not_end_a_run(timer):
    data = gd.Dataset.from_arrays([[1.0], [2.0], [3.0]], [1.0, 2.0, 4.0])
    model = gd.Linear(1)
    rule = gd.GD(model.parameters(), lr=0.01)
    trainer = gd.Trainer(
        model, loss=gd.MSE(), optimizer=rule, data=data, loader=gd.FullBatch(3), epochs=3
    )
    assert trainer.fit().status == "max_epochs"
    assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getsignal(signal.SIGALRM) is handler


def test_a_signal_in_an_import_leaves_a_timer_of_the_calling_program(timer, tmp_path, monkeypatch):
    (tmp_path / "slow_to_import.py").write_text(
        "import signal\nsignal.raise_signal(signal.SIGINT)\nassert False, 'not interrupted'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt), raising():
        importlib.import_module("slow_to_import")
    assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getsignal(signal.SIGALRM) is handler


def test_a_signal_in_an_import_is_raised_after_it(tmp_path, monkeypatch):
    (tmp_path / "slow_to_import.py").write_text(
        "import signal\nsignal.raise_signal(signal.SIGINT)\nis_imported = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = signal.getsignal(signal.SIGALRM)

    def import_and_wait():
        importlib.import_module("slow_to_import")
        time.sleep(10)

    with pytest.raises(KeyboardInterrupt), raising():
        import_and_wait()
    assert sys.modules["slow_to_import"].is_imported
    assert signal.getsignal(signal.SIGALRM) is before
