"""What a run leaves behind: a result in memory, ``result.json`` and ``model.safetensors``."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import nn

from gdframe.files import write_atomically
from gdframe.history import History
from gdframe.stopping import Status
from gdframe.storage import FORMAT

RESULT_FILE = "result.json"
MODEL_FILE = "model.safetensors"


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
        write_atomically(folder / RESULT_FILE, json.dumps(content, indent=2) + "\n")
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


def save_model(folder: Path, model: nn.Module, metadata: Mapping[str, Any]) -> None:
    """Write ``model.safetensors``: the module's ``state_dict``, and what ``predict`` needs.

    Args:
        folder: where.
        model: the module.
        metadata: plain values, stored as JSON by key.

    Raises:
        OSError: it cannot be written.
    """
    # tied weights share memory, which the file format cannot say: each gets a copy
    tensors = {
        name: t.detach().cpu().contiguous().clone() for name, t in model.state_dict().items()
    }
    texts = {key: json.dumps(value) for key, value in metadata.items()}
    content = safetensors.torch.save(tensors, {"format": json.dumps(FORMAT), **texts})
    write_atomically(folder / MODEL_FILE, content, settle=False)  # result.json comes next
