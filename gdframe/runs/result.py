"""The result of a run: how it ended and what it measured."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import nn

from gdframe.runs.history import History
from gdframe.runs.run_folder import RunFolder
from gdframe.stopping import Status


@dataclass
class Result:
    """How a run ended and what it measured. Values are of the parameters it ended with.

    Args:
        status: one word.
        reason: why, in words with numbers.
        variant: ``batch``, ``sgd``, ``minibatch`` or a custom loader's.
        engine: its name.
        engine_reason: why it was taken, where ``engine=auto`` chose it; else empty.
        model: its registered name, or its class's.
        loss: likewise; None for a function to minimise.
        optimizer: likewise.
        lr: learning rate before any schedule.
        seed: of initialisation and the order of rows.
        epochs: complete epochs.
        steps: updates.
        samples: rows seen by updates.
        gradient_evaluations: gradients of a batch that updates took: one a step.
        objective: loss + penalty over all training rows.
        train_loss: the loss over all training rows.
        validation_loss: the loss over all validation rows; None without any.
        gradient_norm: Euclidean norm of the objective's gradient over all training rows.
        metrics: ``{"train": {...}, "validation": {...}}`` by name.
        maximize: names of those of which a greater value is better.
        seconds: ``{"setup": ..., "train": ...}``.
        parameter_count: number of trained values.
        diagnostics: what is known of curvature, stability and the minimum, by name; empty where
            nothing looked.
        point: where a function to minimise was left; None for a model of data.
        target: the objective the run was to reach; None without one.
        data_digest: of the training rows.
        history: what was measured on the way.
        module: the model itself, as the run left it.
        folder: where the run was written, if it was.
    """

    status: Status
    reason: str
    variant: str
    engine: str
    engine_reason: str
    model: str
    loss: str | None
    optimizer: str
    lr: float
    seed: int
    epochs: int
    steps: int
    samples: int
    gradient_evaluations: int
    objective: float
    train_loss: float
    validation_loss: float | None
    gradient_norm: float
    metrics: dict[str, dict[str, float]]
    maximize: list[str]
    seconds: dict[str, float]
    parameter_count: int
    diagnostics: dict[str, Any]
    point: list[float] | None
    target: float | None
    data_digest: str
    history: History = field(repr=False)
    module: nn.Module = field(repr=False)
    folder: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what ``result.json`` holds: plain values, with null for what is not finite."""
        left_out = ("history", "module", "folder")
        fields = {name: value for name, value in vars(self).items() if name not in left_out}
        plain: dict[str, Any] = finite(fields | {"versions": versions()})
        return plain

    def save(self, folder: Path) -> dict[str, Any]:
        """Write ``result.json`` into ``folder``, atomically; return what it holds.

        Raises:
            OSError: it cannot be written.
        """
        self.folder, content = folder, self.to_json()
        RunFolder(folder).write_result(content)
        return content


def finite(value: Any) -> Any:
    """Return a JSON value with None in place of numbers that are not finite."""
    if value is None or isinstance(value, (str, int)):  # most are
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


@cache
def versions() -> dict[str, str]:
    """Return the versions of gdframe, Python and the libraries that determine a run's numbers."""
    found = {"python": platform.python_version()}
    for name in ("gdframe", "torch", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout that is not installed
            found[name] = "unknown"
    return found
