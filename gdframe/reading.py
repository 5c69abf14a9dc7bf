"""What a run has measured, read back from its folder, whether it has ended or is still training."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.util.tensor_util import make_ndarray

from gdframe.errors import UserError
from gdframe.events import PATTERN, STEP_TAGS
from gdframe.files import exclusive
from gdframe.observers.tensorboard import TAGS
from gdframe.result import RESULT_FILE
from gdframe.storage import load_checkpoint

Array = NDArray[np.float64]

_HEADER = struct.Struct("<QI")


@dataclass
class Measured:
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


def read_result(run: Path) -> dict[str, Any] | None:
    """Return what ``result.json`` of a run holds, or None if there is none that can be read."""
    try:
        content = json.loads((run / RESULT_FILE).read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def is_training(folder: Path) -> bool:
    """Say whether a process trains in a folder, of a run or a sweep; it is not disturbed."""
    try:
        locks = Path("/proc/locks").read_text().splitlines()
        inode = f":{folder.stat().st_ino} "
        return any("FLOCK" in line and "WRITE" in line and inode in line for line in locks)
    except OSError:  # no Linux, or no such folder
        pass
    try:
        with exclusive(folder, shared=True):
            return False
    except (UserError, OSError) as error:
        return isinstance(error, UserError)


def read_measured(run: Path, result: Mapping[str, Any] | None) -> Measured:
    """Return what a run has measured: from its checkpoint if that is the last word, else events.

    Args:
        run: its folder.
        result: what its ``result.json`` holds, if anything.
    """
    checkpoints = run / "checkpoint"
    if result is not None and checkpoints.is_dir():
        capture, _ = load_checkpoint(checkpoints)
        if capture is not None and capture.facts["step"] == result.get("steps"):
            parts: dict[str, dict[str, Array]] = {"epochs": {}, "steps": {}}
            for name, values in capture.tensors.items():
                if name.startswith("history."):
                    kind, _, column = name.removeprefix("history.").partition("/")
                    parts[kind][column] = values.numpy()
            return Measured(parts["epochs"], parts["steps"], "checkpoint")
    return _of_curves(read_curves(run), result or {})


def _of_curves(curves: Mapping[str, tuple[Array, Array]], result: Mapping[str, Any]) -> Measured:
    """Return a history from curves by tag."""
    epochs = {column_of(tag): curve for tag, curve in curves.items() if tag not in STEP_TAGS}
    if "objective" not in epochs:
        return Measured()
    at = epochs["objective"][0]
    columns = {"epoch": at}
    total = max(float(result.get("epochs") or 0), float(at.max()), 1.0)
    shares = {"step": result.get("steps"), "samples": result.get("samples"),
              "seconds": (result.get("seconds") or {}).get("train")}  # fmt: skip
    for name, value in shares.items():
        if value is not None:
            columns[name] = at * (value / total)
    for name, (x, y) in epochs.items():
        if len(x) == len(at) and (x == at).all():
            columns[name] = y
    steps: dict[str, Array] = {}
    if "loss/step" in curves:
        steps["step"], steps["loss"] = curves["loss/step"]
        x, y = curves.get("gradient_norm/step", (np.zeros(0), np.zeros(0)))
        if len(x) == len(steps["step"]):
            steps["gradient_norm"] = y
    return Measured(columns, steps, "events")


def column_of(tag: str) -> str:
    """Return the column of a history that an epoch's tag shows.

    Example:
        >>> column_of("loss/train"), column_of("metric/train_r2"), column_of("theory/gap")
        ('train_loss', 'train/r2', 'theory/gap')
    """
    named = {value: key for key, value in TAGS.items()}
    if tag in named:
        return named[tag]
    return tag.removeprefix("metric/").replace("_", "/", 1) if tag.startswith("metric/") else tag


def read_curves(run: Path) -> dict[str, tuple[Array, Array]]:
    """Return the scalars in a run's event files, by tag: where, and how much.

    A record that is still being written, and all after a damaged one, are left out.
    """
    found: dict[str, tuple[list[float], list[float]]] = {}
    for path in sorted(run.glob(PATTERN)):
        for content in _records(path):
            event = Event.FromString(content)
            for value in event.summary.value:
                kind = value.WhichOneof("value")
                if kind == "simple_value":
                    number = value.simple_value
                elif kind == "tensor" and not value.tensor.tensor_shape.dim:
                    array = make_ndarray(value.tensor)
                    if array.dtype.kind != "f":
                        continue
                    number = float(array)
                else:
                    continue
                x, y = found.setdefault(value.tag, ([], []))
                x.append(float(event.step))
                y.append(number)
    return {tag: (np.array(x), np.array(y)) for tag, (x, y) in found.items()}


def _records(path: Path) -> Iterator[bytes]:
    """Return the whole records of an event file that may hold scalars."""
    try:
        content = path.read_bytes()
    except OSError:
        return
    at = 0
    while at + _HEADER.size <= len(content):
        (length, _) = _HEADER.unpack_from(content, at)
        start = at + _HEADER.size
        at = start + length + 4
        if at > len(content):
            return
        if length < LARGEST_SCALAR:
            yield content[start : start + length]


def add_updates(measured: Measured, run: Path) -> None:
    """Add the columns that only event files hold: how far an epoch moved each parameter."""
    epochs = measured.epochs.get("epoch")
    if epochs is None:
        return
    for tag, (x, y) in read_curves(run).items():
        if tag.startswith("update_ratio/"):
            column = np.full(len(epochs), np.nan)
            places = np.searchsorted(epochs, x)
            known = places < len(epochs)
            column[places[known]] = y[known]
            measured.epochs[tag] = column


LARGEST_SCALAR = 400
"""Bytes: records beyond are histograms, texts and pictures."""
