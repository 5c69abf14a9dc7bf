"""Curves of runs for a page: few enough points to be small, and each in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdframe.cli.report.page import number
from gdframe.runs.recorded_history import Array, RecordedHistory

MOST_POINTS, LEAST_POINTS, ALL_POINTS = 400, 24, 40_000
"""Of a curve, and of all curves of a measure together."""

AXES = ("step", "samples", "seconds")
"""Fair axes; there is one gradient evaluation a step."""

WORDS = {
    "objective": "objective", "train_loss": "training loss", "validation_loss": "validation loss",
    "gradient_norm": "gradient norm", "lr": "learning rate", "theory/gap": "gap to the minimum",
    "curvature/lambda_max": "largest eigenvalue of the Hessian",
    "curvature/lambda_min": "smallest eigenvalue of the Hessian",
    "curvature/lr_times_lambda_max": "learning rate times largest eigenvalue",
    "loss/step": "loss of a step's batch", "gradient_norm/step": "gradient norm of a step's batch",
}  # fmt: skip


def word(column: str) -> str:
    """Return what a column is called in a figure.

    Example:
        >>> word("objective"), word("train/r2"), word("gradient_norm/weight")
        ('objective', 'r2, training', 'gradient norm of weight')
    """
    if column in WORDS:
        return WORDS[column]
    part, _, name = column.partition("/")
    if part == "gradient_norm":
        return f"gradient norm of {name}"
    if part == "update_ratio":
        return f"update to weight of {name}"
    return f"{name}, {'training' if part == 'train' else part}" if name else column


def points(runs: int) -> int:
    """Return how many points of a curve are kept where so many runs are drawn."""
    return int(np.clip(ALL_POINTS // max(1, runs), LEAST_POINTS, MOST_POINTS))


def by_epoch(measured: RecordedHistory, columns: list[str], most: int) -> dict[str, Any]:
    """Return axes and columns of a run, thinned alike."""
    epochs = measured.epochs
    length = len(epochs.get("epoch", ()))
    kept = _kept(length, most)
    axes = {axis: _plain(epochs[axis][kept]) for axis in AXES if axis in epochs}
    if "step" not in axes:  # a run whose end is not known: its epochs are all there is
        axes["step"] = _plain(epochs["epoch"][kept]) if length else []
    return {"x": axes, "y": {name: _plain(epochs[name][kept]) for name in columns}}


def by_step(measured: RecordedHistory, most: int) -> dict[str, Any] | None:
    """Return axes and columns of a run's steps, or None where there are none."""
    steps, epochs = measured.steps, measured.epochs
    if not len(steps.get("step", ())):
        return None
    kept = _kept(len(steps["step"]), most)
    at = steps["step"][kept]
    axes = {"step": _plain(at)}
    for axis in ("samples", "seconds"):
        if axis in epochs and "step" in epochs:
            axes[axis] = _plain(np.interp(at, epochs["step"], epochs[axis]))
    named = {"loss": "loss/step", "gradient_norm": "gradient_norm/step"}
    return {"x": axes, "y": {named[n]: _plain(steps[n][kept]) for n in named if n in steps}}


def in_words(columns: Mapping[str, Array]) -> list[str]:
    """Say of each curve where it starts, where it ends and how low it gets."""
    said = []
    for name, values in columns.items():
        finite = values[np.isfinite(values)]
        if len(finite) == 0:
            continue
        text = f"{word(name)}: {number(float(finite[0]))} at the start"
        if len(finite) > 1:
            text += (
                f", {number(float(finite[-1]))} at the end, lowest {number(float(finite.min()))}"
            )
        said.append(f"{text} ({len(finite):,} point{'' if len(finite) == 1 else 's'}).")
    return said


def _kept(length: int, most: int) -> NDArray[np.intp] | slice:
    """Return which points are kept: first and last, and denser at the start where more happens."""
    if length <= most:
        return slice(None)
    dense = np.geomspace(1, length, most // 3) - 1
    even = np.linspace(0, length - 1, most - most // 3)
    return np.unique(np.concatenate([dense, even]).round().astype(int))


def _plain(values: Array) -> list[float | None]:
    """Return numbers with as many digits as a picture shows, None for what is not finite."""
    return [None if not np.isfinite(v) else float(f"{v:.5g}") for v in values.tolist()]
