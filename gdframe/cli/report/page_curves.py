"""Curves of runs for a page, thinned, and described in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdframe.cli.report.labels import word
from gdframe.cli.report.page import number
from gdframe.runs.recorded_history import Array, RecordedHistory

MOST_POINTS, LEAST_POINTS, ALL_POINTS = 400, 24, 40_000
"""Most and fewest points of a curve, and most points of all curves of a measure."""

AXES = ("step", "samples", "seconds")
"""Columns that can be the horizontal axis."""


def points(runs: int) -> int:
    """Return the number of points of a curve for a number of curves."""
    return int(np.clip(ALL_POINTS // max(1, runs), LEAST_POINTS, MOST_POINTS))


def by_epoch(history: RecordedHistory, columns: list[str], most: int) -> dict[str, Any]:
    """Return axes and columns of a run by epoch, thinned."""
    epochs = history.epochs
    length = len(epochs.get("epoch", ()))
    indices = _thinned(length, most)
    axes = {axis: _plain(epochs[axis][indices]) for axis in AXES if axis in epochs}
    if "step" not in axes:  # the events of a run that has not ended have no steps
        axes["step"] = _plain(epochs["epoch"][indices]) if length else []
    return {"x": axes, "y": {name: _plain(epochs[name][indices]) for name in columns}}


def by_step(history: RecordedHistory, most: int) -> dict[str, Any] | None:
    """Return axes and columns of a run by step, thinned; None without steps."""
    steps, epochs = history.steps, history.epochs
    if not len(steps.get("step", ())):
        return None
    indices = _thinned(len(steps["step"]), most)
    x = steps["step"][indices]
    axes = {"step": _plain(x)}
    for axis in ("samples", "seconds"):
        if axis in epochs and "step" in epochs:
            axes[axis] = _plain(np.interp(x, epochs["step"], epochs[axis]))
    names = {"loss": "loss/step", "gradient_norm": "gradient_norm/step"}
    return {"x": axes, "y": {names[n]: _plain(steps[n][indices]) for n in names if n in steps}}


def curve_texts(columns: Mapping[str, Array]) -> list[str]:
    """Return a sentence for each curve with its first, last and lowest value."""
    sentences = []
    for name, values in columns.items():
        finite = values[np.isfinite(values)]
        if len(finite) == 0:
            continue
        text = f"{word(name)}: {number(float(finite[0]))} at the start"
        if len(finite) > 1:
            text += (
                f", {number(float(finite[-1]))} at the end, lowest {number(float(finite.min()))}"
            )
        sentences.append(f"{text} ({len(finite):,} point{'' if len(finite) == 1 else 's'}).")
    return sentences


def _thinned(length: int, most: int) -> NDArray[np.intp] | slice:
    """Return indices of points, with the first and the last, and denser at the start."""
    if length <= most:
        return slice(None)
    dense = np.geomspace(1, length, most // 3) - 1
    even = np.linspace(0, length - 1, most - most // 3)
    return np.unique(np.concatenate([dense, even]).round().astype(int))


def _plain(values: Array) -> list[float | None]:
    """Return numbers rounded to five digits, with None for non-finite ones."""
    return [None if not np.isfinite(v) else float(f"{v:.5g}") for v in values.tolist()]
