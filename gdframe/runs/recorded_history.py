"""The history of an ended or running run, read from its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gdframe.errors import UserError
from gdframe.runs.event_tags import STEP_TAGS, column_of

if TYPE_CHECKING:
    from gdframe.runs.run_folder import RunFolder

Array = NDArray[np.float64]
Curves = dict[str, tuple[Array, Array]]

MOST_RATIOS = 1 << 24
"""Most numbers of the columns of update ratios, which have a row for each epoch."""


@dataclass
class RecordedHistory:
    """The history of a run, as read from disk.

    Args:
        epochs: columns by epoch, named as in ``History.epochs``.
        steps: columns ``step``, ``loss`` and ``gradient_norm``, thinned.
        source: ``checkpoint`` or ``events``, or empty if there is neither. Event files hold no
            steps, samples and seconds of an epoch; they are interpolated from the run's totals.
        damages: messages on files that are damaged.
    """

    epochs: dict[str, Array] = field(default_factory=dict)
    steps: dict[str, Array] = field(default_factory=dict)
    source: str = ""
    damages: list[str] = field(default_factory=list)

    def add_updates(self, curves: Curves) -> None:
        """Add columns that only event files hold: the update ratio of each parameter."""
        epochs = self.epochs.get("epoch")
        if epochs is None:
            return
        tags = [tag for tag in curves if tag.startswith("update_ratio/")]
        most = max(1, MOST_RATIOS // max(1, len(epochs)))
        if len(tags) > most:
            self.damages.append(f"update ratios: the first {most:,} of {len(tags):,} are used")
        for tag in tags[:most]:
            x, y = curves[tag]
            column = np.full(len(epochs), np.nan)
            rows = np.searchsorted(epochs, x)
            is_known = rows < len(epochs)
            column[rows[is_known]] = y[is_known]
            self.epochs[tag] = column


def read_history(
    folder: RunFolder, result: Mapping[str, Any] | None, checkpoints: Sequence[Path]
) -> RecordedHistory:
    """Return the history from the newest checkpoint if the run ended there, else from events.

    Args:
        folder: the run folder.
        result: content of ``result.json``, if any.
        checkpoints: files in the folder.
    """
    damages: list[str] = []
    if result is not None:
        step, arrays, problems = _checkpointed(folder, checkpoints)
        damages += problems
        if step is not None and step == result.get("steps"):
            parts: dict[str, dict[str, Array]] = {"epochs": {}, "steps": {}}
            for name, values in arrays.items():
                kind, _, column = name.partition("/")
                parts[kind][column] = values
            return RecordedHistory(parts["epochs"], parts["steps"], "checkpoint", damages)
    history = _from_curves(folder.read_curves(damages), result or {})
    history.damages = damages + history.damages
    return history


_read: dict[Path, tuple[list[Any], tuple[int | None, dict[str, Array], list[str]]]] = {}
"""For each run folder, its checkpoint files, with times and sizes, and what was read from them."""


def _checkpointed(
    folder: RunFolder, checkpoints: Sequence[Path]
) -> tuple[int | None, dict[str, Array], list[str]]:
    """Return step and history of the newest whole checkpoint, if any, and messages on damaged ones.

    They are cached while the files stay as they are, since to verify a checkpoint all of it is
    read.
    """
    files = []
    for path in checkpoints:
        with suppress(OSError):  # a run in training has removed it
            files.append((path, (status := path.stat()).st_mtime_ns, status.st_size))
    if folder.path not in _read or _read[folder.path][0] != files:
        try:
            capture, damages = folder.load_checkpoint()
        except UserError as error:
            capture, damages = None, [str(error)]
        arrays = {} if capture is None else capture.history()
        copies = {name: values.copy() for name, values in arrays.items()}  # not of the mapped file
        step = None if capture is None else capture.facts["step"]
        _read[folder.path] = files, (step, copies, damages)
    return _read[folder.path][1]


def _from_curves(curves: Curves, result: Mapping[str, Any]) -> RecordedHistory:
    """Return the history of curves by tag."""
    step_tags = STEP_TAGS.values()
    by_epoch = {column_of(tag): curve for tag, curve in curves.items() if tag not in step_tags}
    if "objective" not in by_epoch:
        return RecordedHistory()
    epochs = by_epoch["objective"][0]
    columns = {"epoch": epochs}
    last = max(float(result.get("epochs") or 0), float(epochs.max()), 1.0)
    totals = {
        "step": result.get("steps"),
        "samples": result.get("samples"),
        "seconds": (result.get("seconds") or {}).get("train"),
    }
    for name, total in totals.items():
        if total is not None:
            columns[name] = epochs * (total / last)
    for name, (x, y) in by_epoch.items():
        if len(x) == len(epochs) and (x == epochs).all():
            columns[name] = y
    steps: dict[str, Array] = {}
    if STEP_TAGS["loss"] in curves:
        steps["step"], steps["loss"] = curves[STEP_TAGS["loss"]]
        x, y = curves.get(STEP_TAGS["gradient_norm"], (np.zeros(0), np.zeros(0)))
        if len(x) == len(steps["step"]):
            steps["gradient_norm"] = y
    history = RecordedHistory(columns, steps, "events")
    history.add_updates(curves)
    return history
