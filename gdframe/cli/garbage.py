"""Python looks for garbage rarely while a launch imports, because imported objects live on."""

from __future__ import annotations

import gc

_before: list[tuple[int, int, int]] = []


def look_rarely() -> None:
    """Look for garbage rarely, which saves 0.4 s of imports."""
    _before.append(gc.get_threshold())
    gc.set_threshold(200_000, 10, 100)


def look_as_before() -> None:
    """Look as often as before ``look_rarely``, but not among what is imported by now.

    A component in training may leave large tensors in cycles.
    """
    if _before:
        gc.freeze()
        gc.set_threshold(*_before.pop())
