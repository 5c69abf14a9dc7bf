"""Turns Ctrl-C, SIGTERM and SIGHUP into a request to stop, which a run follows when it can save."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any


def signals() -> list[signal.Signals]:
    """Return the signals that end a run: Ctrl-C, SIGTERM, and a closed terminal unless ignored."""
    ending = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none, and nohup ignores it
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        ending.append(hangup)
    return ending


@contextmanager
def raising() -> Iterator[Callable[[], bool]]:
    """Raise KeyboardInterrupt at SIGINT, SIGTERM and SIGHUP; yield whether it was raised.

    Libraries may turn it into another error, so callers ask. Some libraries abort the process when
    an exception interrupts their import. During an import, the signal is therefore sent again
    0.05 s later.
    """
    is_raised = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal is_raised
        while frame is not None:
            if frame.f_code.co_filename.startswith("<frozen importlib") and _can_wait():
                _waiting.append(signal.signal(signal.SIGALRM, handle))
                signal.setitimer(signal.ITIMER_REAL, 0.05)
                return
            frame = frame.f_back
        is_raised = True
        raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in signals()}
    try:
        yield lambda: is_raised
    finally:
        forget()
        _restore(before)


_waiting: list[Any] = []
"""Handlers of SIGALRM before each signal that waits for the end of an import."""


def _can_wait() -> bool:
    """Return whether the timer is free: Windows has none, and the calling program may use it."""
    return hasattr(signal, "setitimer") and (
        bool(_waiting) or signal.getitimer(signal.ITIMER_REAL)[0] == 0
    )


def forget() -> bool:
    """Cancel a signal that waits for the end of an import; return whether there was one.

    A timer of the calling program goes on.
    """
    if not _waiting:
        return False
    is_waiting = signal.setitimer(signal.ITIMER_REAL, 0)[0] > 0
    signal.signal(signal.SIGALRM, _waiting[0] or signal.SIG_DFL)  # None: not set by Python
    _waiting.clear()
    return is_waiting


@contextmanager
def interruptible() -> Iterator[Callable[[], str | None]]:
    """Catch SIGINT, SIGTERM and SIGHUP; yield a function that returns the signal's name, or None.

    Another signal more than a second after the first raises KeyboardInterrupt at once. Outside the
    main thread Python delivers no signals, so nothing is caught.
    """
    received: list[str] = []
    patience = 1.0  # s; a hasty second Ctrl-C does not interrupt the saving of the run
    first = 0.0

    def note(number: int, frame: Any) -> None:
        nonlocal first
        if received and time.monotonic() - first > patience:
            raise KeyboardInterrupt
        first = first if received else time.monotonic()
        received.append("Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name)

    def name() -> str | None:
        return received[0] if received else None

    if threading.current_thread() is not threading.main_thread():
        yield name
        return
    if forget():
        received.append("Ctrl-C")
    before = {number: signal.signal(number, note) for number in signals()}
    try:
        yield name
    finally:
        _restore(before)


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
