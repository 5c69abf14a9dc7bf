"""The history of a run, read back from its folder, whether it has ended or is still training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gdframe.runs.event_tags import STEP_TAGS, column_of

if TYPE_CHECKING:
    from gdframe.runs.run_folder import RunFolder

Array = NDArray[np.float64]
Curves = dict[str, tuple[Array, Array]]


@dataclass
class RecordedHistory:
    """The history of a run.

    Args:
        epochs: columns by epoch, named as in ``History.epochs``.
        steps: columns ``step``, ``loss`` and ``gradient_norm``, thinned.
        source: ``checkpoint`` or ``events``; from events alone, steps, samples and seconds of an
            epoch are shares of the run's own; empty where there is neither.
    """

    epochs: dict[str, Array] = field(default_factory=dict)
    steps: dict[str, Array] = field(default_factory=dict)
    source: str = ""

    def add_updates(self, curves: Curves) -> None:
        """Add the columns that only event files hold: how far an epoch moved each parameter."""
        epochs = self.epochs.get("epoch")
        if epochs is None:
            return
        for tag, (x, y) in curves.items():
            if tag.startswith("update_ratio/"):
                column = np.full(len(epochs), np.nan)
                places = np.searchsorted(epochs, x)
                known = places < len(epochs)
                column[places[known]] = y[known]
                self.epochs[tag] = column


def read_history(folder: RunFolder, result: Mapping[str, Any] | None) -> RecordedHistory:
    """Return the history in a run's newest checkpoint if the run ended there, else in its events.

    Args:
        folder: the run's.
        result: what its ``result.json`` holds, if anything.
    """
    if result is not None:
        capture, _ = folder.load_checkpoint()
        if capture is not None and capture.facts["step"] == result.get("steps"):
            parts: dict[str, dict[str, Array]] = {"epochs": {}, "steps": {}}
            for name, values in capture.history().items():
                kind, _, column = name.partition("/")
                parts[kind][column] = values
            return RecordedHistory(parts["epochs"], parts["steps"], "checkpoint")
    return _of_curves(folder.read_curves(), result or {})


def _of_curves(curves: Curves, result: Mapping[str, Any]) -> RecordedHistory:
    """Return a history made of curves by tag."""
    by_step = STEP_TAGS.values()
    epochs = {column_of(tag): curve for tag, curve in curves.items() if tag not in by_step}
    if "objective" not in epochs:
        return RecordedHistory()
    at = epochs["objective"][0]
    columns = {"epoch": at}
    total = max(float(result.get("epochs") or 0), float(at.max()), 1.0)
    shares = {
        "step": result.get("steps"),
        "samples": result.get("samples"),
        "seconds": (result.get("seconds") or {}).get("train"),
    }
    for name, value in shares.items():
        if value is not None:
            columns[name] = at * (value / total)
    for name, (x, y) in epochs.items():
        if len(x) == len(at) and (x == at).all():
            columns[name] = y
    steps: dict[str, Array] = {}
    if STEP_TAGS["loss"] in curves:
        steps["step"], steps["loss"] = curves[STEP_TAGS["loss"]]
        x, y = curves.get(STEP_TAGS["gradient_norm"], (np.zeros(0), np.zeros(0)))
        if len(x) == len(steps["step"]):
            steps["gradient_norm"] = y
    return RecordedHistory(columns, steps, "events")
