"""The result of a run: status, measurements, settings and versions."""

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

from gdframe.runs.coefficients_table import Coefficient
from gdframe.runs.history import History
from gdframe.runs.run_folder import RunFolder
from gdframe.stopping import Status


@dataclass
class Result:
    """The result of a run. Values belong to its last parameters.

    Args:
        status: how the run ended, in one word.
        reason: why it ended, with numbers and advice.
        variant: ``batch``, ``sgd``, ``minibatch`` or the name of a custom loader.
        engine: name of the engine.
        engine_reason: why ``engine=auto`` chose the engine; else empty.
        device: where the run trained: ``cpu`` or ``cuda:N``.
        model: registered name of the model, or name of its class.
        loss: registered name of the loss; None for a function.
        optimizer: registered name of the optimizer.
        lr: learning rate before any schedule.
        lr_reason: why ``lr=auto`` chose the learning rate; else empty.
        seed: of the initialisation and the row order.
        epochs: complete epochs.
        steps: number of steps.
        samples: rows seen in all steps.
        gradient_evaluations: steps that were executed, also those that a return to earlier
            parameters undid.
        objective: loss + penalty over all training rows.
        train_loss: loss over all training rows.
        validation_loss: loss over all validation rows; None without validation rows.
        test_loss: loss over all test rows, measured once; None without test rows.
        gradient_norm: Euclidean norm of the objective's gradient over all training rows.
        metrics: ``{"train": {...}, "validation": {...}}`` by name; with test rows, ``test`` too.
        maximize: names of metrics of which a greater value is better.
        baseline: ``name`` of what a constant predicts, and its metrics by part; None without
            metrics.
        confusion: ``classes`` and, by part, counts (true class, predicted class); None without
            classes or with many.
        seconds: ``{"setup": ..., "train": ...}``.
        parameter_count: number of trained values.
        diagnostics: curvature, stability limits and minimum by name; empty without diagnostics.
        point: last point of a function; None for a model of data.
        target: the objective to reach (``stopping.target``); None without one.
        data_digest: digest of the training rows.
        data: what was read: rows, features, classes, columns that were left out.
        history: measurements by epoch and by step.
        module: the model with its last parameters.
        coefficients: of a linear model, in the units of the data; None for another model.
        folder: the run folder, if the run was written.
        computation_digest: digest of the settings that change the computation; empty without any.
    """

    status: Status
    reason: str
    variant: str
    engine: str
    engine_reason: str
    device: str
    model: str
    loss: str | None
    optimizer: str
    lr: float
    lr_reason: str
    seed: int
    epochs: int
    steps: int
    samples: int
    gradient_evaluations: int
    objective: float
    train_loss: float
    validation_loss: float | None
    test_loss: float | None
    gradient_norm: float
    metrics: dict[str, dict[str, float]]
    maximize: list[str]
    baseline: dict[str, Any] | None
    confusion: dict[str, Any] | None
    seconds: dict[str, float]
    parameter_count: int
    diagnostics: dict[str, Any]
    point: list[float] | None
    target: float | None
    data_digest: str
    data: dict[str, Any]
    history: History = field(repr=False)
    module: nn.Module = field(repr=False)
    coefficients: list[Coefficient] | None = field(default=None, repr=False)
    folder: Path | None = None
    computation_digest: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``result.json``: plain values, None for non-finite numbers."""
        excluded = ("history", "module", "coefficients", "folder")
        fields = {name: value for name, value in vars(self).items() if name not in excluded}
        plain: dict[str, Any] = finite(fields | {"versions": versions()})
        return plain

    def save(self, folder: Path) -> dict[str, Any]:
        """Write ``result.json`` into ``folder`` and return its content.

        Raises:
            OSError: the file cannot be written.
        """
        self.folder, content = folder, self.to_json()
        RunFolder(folder).write_result(content)
        return content


def finite(value: Any) -> Any:
    """Return a JSON value with None in place of non-finite numbers."""
    if value is None or isinstance(value, (str, int)):  # the most frequent case
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
    """Return the versions of gdframe, Python and the libraries that compute a run."""
    by_name = {"python": platform.python_version()}
    for name in ("gdframe", "torch", "numpy"):
        try:
            by_name[name] = version(name)
        except PackageNotFoundError:  # a checkout that is not installed
            by_name[name] = "unknown"
    return by_name
