"""The folder of a run: every file name, reader and writer."""

from __future__ import annotations

import csv
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import yaml

from gdframe.errors import UserError
from gdframe.runs.files import write_atomically
from gdframe.runs.lock import exclusive, is_locked

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gdframe.runs.checkpoint_file import Capture
    from gdframe.runs.event_file import EventFile
    from gdframe.runs.recorded_history import Curves, RecordedHistory

HYDRA = ".hydra"
CONFIG = f"{HYDRA}/config.yaml"
OVERRIDES = f"{HYDRA}/overrides.yaml"
HYDRA_CONFIG = f"{HYDRA}/hydra.yaml"
RESULT = "result.json"
MODEL = "model.safetensors"
CHECKPOINTS = "checkpoint"
EVENTS = "events.out.tfevents.*"
LOG = "gdframe.log"
HISTORY = "history.csv"
REPORT = "report.html"


class RunFolder:
    """The folder of one run. It imports torch and TensorBoard only when they are needed.

    Args:
        path: of the folder, which need not exist.

    Example:
        >>> RunFolder("outputs/none").read_result() is None
        True
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __str__(self) -> str:
        return str(self.path)

    # state

    def is_run(self) -> bool:
        """Return whether a run was started here."""
        return (self.path / CONFIG).is_file()

    def is_occupied(self) -> bool:
        """Return whether a run was started here, or there is a result."""
        return any((self.path / name).exists() for name in (HYDRA, RESULT))

    def is_trained(self) -> bool:
        """Return whether a run was trained here."""
        return any(next(self.path.glob(name), None) for name in (CHECKPOINTS, RESULT, EVENTS))

    # locking

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training here.

        Raises:
            UserError: another process trains here.
        """
        with exclusive(self.path):
            yield

    def is_training(self) -> bool:
        """Return whether a process trains this run, or the sweep it belongs to."""
        return is_locked(self.path) or is_locked(self.path.parent)

    # config

    def read_config_text(self) -> str:
        """Return the config that the run was started with, as YAML.

        Raises:
            OSError: the file cannot be read.
        """
        return (self.path / CONFIG).read_text(errors="replace")

    def write_config_text(self, text: str) -> None:
        """Write the config, atomically.

        Raises:
            OSError: the file cannot be written; an earlier config remains.
        """
        write_atomically(self.path / CONFIG, text)

    def write_start(self, config: str, overrides: Sequence[str], hydra: str = "") -> None:
        """Write the config and the overrides of a run that starts.

        Args:
            config: as YAML.
            overrides: of the run.
            hydra: Hydra's own config as YAML, if Hydra started the run.

        Raises:
            OSError: a file cannot be written.
        """
        (self.path / HYDRA).mkdir(parents=True, exist_ok=True)
        (self.path / CONFIG).write_text(config)
        (self.path / OVERRIDES).write_text(yaml.safe_dump(list(overrides), width=1 << 16))
        if hydra:
            (self.path / HYDRA_CONFIG).write_text(hydra)

    def read_overrides(self) -> list[str]:
        """Return the overrides of the run; an empty list if they cannot be read."""
        try:
            content = yaml.safe_load((self.path / OVERRIDES).read_text())
            return [str(line) for line in content]
        except (OSError, yaml.YAMLError, TypeError, ValueError):
            return []

    def read_hydra_config(self) -> Mapping[str, Any]:
        """Return Hydra's own config; empty if it cannot be read."""
        return read_hydra(self.path / HYDRA_CONFIG)

    # result and model

    def read_result(self) -> dict[str, Any] | None:
        """Return the content of ``result.json``, or None if it cannot be read."""
        try:
            content = json.loads((self.path / RESULT).read_text())
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    def write_result(self, content: Mapping[str, Any]) -> None:
        """Write ``result.json``, atomically.

        Raises:
            OSError: the file cannot be written.
        """
        write_atomically(self.path / RESULT, json.dumps(content, indent=2) + "\n")

    def read_model(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the metadata and the last parameters of the run.

        Raises:
            UserError: there is no model, or it is damaged.
        """
        from gdframe.runs.model_file import read_model

        path = self.path / MODEL
        if not path.is_file():
            problem = "does not exist" if not self.path.is_dir() else f"has no {MODEL}"
            raise UserError(f"{self}: {problem}; give the folder of a run that has ended")
        return read_model(path)

    def write_model(self, model: nn.Module, metadata: Mapping[str, Any]) -> None:
        """Write ``model.safetensors``. The caller writes ``result.json`` next.

        Raises:
            OSError: the file cannot be written.
        """
        from gdframe.runs.model_file import write_model

        write_model(self.path / MODEL, model, metadata)

    # checkpoints

    def save_checkpoint(self, capture: Capture, *, keep: int) -> None:
        """Write a checkpoint and remove all but the newest ``keep``.

        Raises:
            OSError: the disk is full or not writable; earlier checkpoints remain.
        """
        from gdframe.runs.checkpoint_file import save_checkpoint

        save_checkpoint(self.path / CHECKPOINTS, capture, keep=keep)

    def load_checkpoint(self) -> tuple[Capture | None, list[str]]:
        """Return the newest undamaged checkpoint or None, and messages on newer, damaged ones.

        Raises:
            UserError: all checkpoints are damaged, or have an unknown format.
        """
        from gdframe.runs.checkpoint_file import load_checkpoint

        folder = self.path / CHECKPOINTS
        return load_checkpoint(folder) if folder.is_dir() else (None, [])

    # events and history

    def open_events(self) -> EventFile:
        """Open the event file of the run, existing or new.

        Raises:
            OSError: the file cannot be written.
        """
        from gdframe.runs.event_file import EventFile

        return EventFile(self.path)

    def clear_events(self) -> None:
        """Remove the event files.

        Raises:
            OSError: a file cannot be removed.
        """
        for path in self.path.glob(EVENTS):
            path.unlink()

    def read_curves(self) -> Curves:
        """Return the scalars in the event files by tag: steps and values, (points,) each."""
        from gdframe.runs.event_reader import read_curves

        return read_curves(sorted(self.path.glob(EVENTS)))

    def read_history(self, result: Mapping[str, Any] | None) -> RecordedHistory:
        """Return the history of the run, while it trains or after it has ended.

        Args:
            result: content of ``result.json``, if any.
        """
        from gdframe.runs.recorded_history import read_history

        return read_history(self, result)

    def read_history_table(self) -> list[dict[str, str]]:
        """Return the rows of ``history.csv``; an empty list if it cannot be read."""
        try:
            lines = (self.path / HISTORY).read_text().splitlines()
        except (OSError, ValueError):
            return []
        rows = list(csv.DictReader(lines))
        return [row for row in rows if None not in row.values() and row.get("step")]

    def write_history_table(self, text: str) -> None:
        """Write ``history.csv``, atomically.

        Raises:
            OSError: the file cannot be written.
        """
        write_atomically(self.path / HISTORY, text)

    def append_history_table(self) -> TextIO:
        """Open ``history.csv`` to append rows.

        Raises:
            OSError: the file cannot be written.
        """
        return (self.path / HISTORY).open("a", newline="")

    # the log

    def log_to_file(self) -> logging.FileHandler:
        """Return a log handler that writes the run's log."""
        return logging.FileHandler(self.path / LOG, delay=True)

    def append_log(self, text: str, level: str = "INFO") -> None:
        """Append a line to the log as a single run would; a full disk is ignored."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        with suppress(OSError), (self.path / LOG).open("a") as file:
            file.write(f"[{stamp}][{level}] {text}\n")


def read_hydra(path: Path) -> Mapping[str, Any]:
    """Return the key ``hydra`` of a YAML file; an empty mapping if it cannot be read."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    part = content.get("hydra") if isinstance(content, dict) else None
    return part if isinstance(part, dict) else {}
