"""The files of a run folder: names, readers and writers of all but log, pictures, history table."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import yaml

from gdframe.errors import UserError
from gdframe.runs.coefficients_table import COEFFICIENTS, Coefficient, to_csv
from gdframe.runs.event_names import event_files, new_name
from gdframe.runs.files import Flush, remove_unfinished, replacing, require_folder
from gdframe.runs.folder import DamagedError, Folder, optional, read_hydra
from gdframe.runs.history_table import HISTORY
from gdframe.runs.lock import is_locked
from gdframe.runs.parsing import conform

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from gdframe.runs.checkpoint_file import Capture
    from gdframe.runs.event_file import Checkpointed, EventFile
    from gdframe.runs.recorded_history import Curves, RecordedHistory

HYDRA = ".hydra"
CONFIG = f"{HYDRA}/config.yaml"
OVERRIDES = f"{HYDRA}/overrides.yaml"
HYDRA_CONFIG = f"{HYDRA}/hydra.yaml"
PLUGINS = f"{HYDRA}/plugins.json"
RESULT = "result.json"
MODEL = "model.safetensors"
CHECKPOINTS = "checkpoint"
REPORT = "report.html"

MOST_CONFIG, MOST_RESULT = 1 << 20, 1 << 25
"""Most bytes of a config, which is slow to parse, and of a result, which may have a long point."""

MOST_REASON = 10_000
"""Most characters of a reason that is written."""

log = logging.getLogger("gdframe")


class RunFolder(Folder):
    """The folder of one run. It imports torch and TensorBoard only when they are needed.

    Args:
        path: of the folder, which need not exist.

    Example:
        >>> RunFolder("outputs/none").read_result() is None
        True
    """

    # state

    def is_run(self) -> bool:
        """Return whether a run was started here."""
        return self.has(CONFIG)

    def occupants(self) -> list[Path]:
        """Return the files here that a new run would write or remove; none if it may train here.

        The files beside a config do not count: a run that was killed as it started leaves them.
        """
        names = (CONFIG, MODEL, HISTORY, COEFFICIENTS)
        return [*self.training_output(), *(self.path / name for name in names if self.has(name))]

    def training_output(self) -> list[Path]:
        """Return the checkpoints, the result and the event files."""
        return [*self.files(f"{CHECKPOINTS}/*"), *self.files(RESULT), *event_files(self)]

    def has_training_output(self) -> bool:
        """Return whether training has written a checkpoint, a result or events here."""
        return bool(self.training_output())

    def is_training(self) -> bool:
        """Return whether a process trains this run, or the sweep it belongs to."""
        return super().is_training() or is_locked(self.path.parent)

    @contextmanager
    def lock(self, *, shared: bool = False) -> Iterator[None]:
        """Keep other processes from training here, and remove temporary files of dead ones.

        Raises:
            UserError: another process trains here, or a folder or a link stands for a file.
        """
        with super().lock(shared=shared):
            self.remove_unfinished()
            for name in (RESULT, MODEL, HISTORY, COEFFICIENTS) * (not shared):
                self.file(name)  # what stands in its place is told before training
            yield

    def remove_unfinished(self) -> None:
        """Remove temporary files of processes that died. The caller holds a lock."""
        for name in (".", HYDRA, CHECKPOINTS):
            remove_unfinished(self.path if name == "." else self.subfolder(name).path)

    # config

    def read_config_text(self) -> str:
        """Return the config that the run was started with, as YAML.

        Raises:
            FileNotFoundError: there is none.
            DamagedError: it cannot be read.
        """
        return self.read_text(CONFIG, most=MOST_CONFIG)

    def write_config_text(self, text: str) -> None:
        """Write the config, atomically.

        Raises:
            OSError: the file cannot be written; an earlier config remains.
        """
        self.write(CONFIG, text)

    def write_config_files(
        self,
        config: str,
        overrides: Sequence[str],
        hydra: str = "",
        plugins: Mapping[str, str] = MappingProxyType({}),
        *,
        flush: Flush = "folder",
    ) -> None:
        """Write the config and the overrides of a run that starts.

        Args:
            config: as YAML.
            overrides: of the run.
            hydra: Hydra's own config as YAML, if Hydra started the run.
            plugins: digests of its plugins by their paths.
            flush: how the config is flushed; a sweep's run needs none, because ``sweep.json`` holds
                its config too.

        Raises:
            OSError: a file cannot be written.
        """
        self.write(OVERRIDES, yaml.safe_dump(list(overrides), width=1 << 16), flush="nothing")
        if hydra:
            self.write(HYDRA_CONFIG, hydra, flush="nothing")
        if plugins:
            self.write_plugins(plugins)
        self.write(CONFIG, config, flush=flush)  # the last: from now on this is a run

    def remove_config_files(self) -> None:
        """Remove what ``write_config_files`` wrote, and no other file.

        Raises:
            OSError: a file cannot be removed.
        """
        for name in (CONFIG, OVERRIDES, HYDRA_CONFIG, PLUGINS):
            self.remove(name)
        with suppress(OSError):  # it holds other files, or there is none
            (self.path / HYDRA).rmdir()

    def write_plugins(self, digests: Mapping[str, str]) -> None:
        """Write the digests of the run's plugins by their paths.

        Raises:
            OSError: the file cannot be written.
        """
        self.write(PLUGINS, json.dumps(dict(digests)) + "\n", flush="nothing")

    def read_plugins(self) -> dict[str, str]:
        """Return the digests of the run's plugins by their paths; empty if they are damaged."""
        digests: dict[str, str] = optional(lambda: self.read_json(PLUGINS, "Plugins"), {})
        return digests

    def read_overrides(self) -> list[str]:
        """Return the overrides of the run; an empty list if they are damaged."""
        overrides: list[str] = optional(lambda: self.read_yaml(OVERRIDES, "Overrides"), [])
        return overrides

    def read_hydra_config(self) -> Mapping[str, Any]:
        """Return Hydra's own config; empty if it cannot be read."""
        return read_hydra(self, HYDRA_CONFIG)

    # result and model

    def read_result(self) -> dict[str, Any] | None:
        """Return the content of ``result.json``, or None if there is none.

        Raises:
            DamagedError: it is damaged.
        """
        advice = "no checkpoint is left to write it again from; predict needs the model alone"
        if self.files(f"{CHECKPOINTS}/*"):
            advice = (
                "its checkpoints are whole files of their own: resume the run to write it again"
            )
        try:
            result: dict[str, Any] = self.read_json(
                RESULT, "ResultFile", advice=advice, most=MOST_RESULT
            )
        except FileNotFoundError:
            return None
        if result["status"] != "failed" or "objective" in result:
            with self.naming(RESULT, advice):
                conform(result, "MeasuredFile")
        return result

    def find_result(self) -> tuple[dict[str, Any] | None, str]:
        """Return the content of ``result.json``, if it is whole, and a message if it is damaged."""
        try:
            return self.read_result(), ""
        except DamagedError as error:
            return None, str(error)

    def write_result(self, content: Mapping[str, Any]) -> None:
        """Write ``result.json``, atomically; a very long reason, such as an error's, is cut.

        Raises:
            OSError: the file cannot be written.
        """
        reason = content["reason"]
        if len(reason) > MOST_REASON:
            content = {**content, "reason": f"{reason[:MOST_REASON]} ..."}
        self.write(RESULT, json.dumps(content, indent=2) + "\n")

    def read_model(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the metadata and the last values of the run's model.

        Raises:
            UserError: there is no model, or it is damaged.
        """
        from gdframe.runs.model_file import read_model

        expected = "the folder of a run that has ended"
        require_folder(self.path, expected)
        path = self.file(MODEL)
        if not path.is_file():
            raise UserError(f"{self}: has no {MODEL}; give {expected}")
        return read_model(path)

    def write_model(self, model: nn.Module, metadata: Mapping[str, Any]) -> None:
        """Write ``model.safetensors``. The caller writes ``result.json`` next.

        Raises:
            OSError: the file cannot be written.
        """
        from gdframe.runs.model_file import write_model

        write_model(self.file(MODEL), model, metadata)

    def write_coefficients(self, coefficients: Sequence[Coefficient]) -> None:
        """Write ``coefficients.csv``. The caller writes ``result.json`` later.

        Raises:
            OSError: the file cannot be written.
        """
        self.write(COEFFICIENTS, to_csv(coefficients), flush="nothing")

    # checkpoints

    def save_checkpoint(self, capture: Capture, *, keep: int) -> None:
        """Write a checkpoint and remove all but the newest ``keep``.

        Raises:
            OSError: the disk is full or not writable; earlier checkpoints remain.
        """
        from gdframe.runs.checkpoint_file import save_checkpoint

        save_checkpoint(self.subfolder(CHECKPOINTS).path, capture, keep=keep)

    def load_checkpoint(self) -> tuple[Capture | None, list[str]]:
        """Return the newest undamaged checkpoint or None, and messages on newer, damaged ones.

        Raises:
            UserError: all checkpoints are damaged, or have an unknown format.
        """
        from gdframe.runs.checkpoint_file import load_checkpoint

        return load_checkpoint(self.subfolder(CHECKPOINTS).path)

    # events and history

    def open_events(self) -> EventFile:
        """Open the event file of the run, existing or new.

        Raises:
            OSError: the file cannot be written.
        """
        from gdframe.runs.event_file import EventFile

        existing = event_files(self)
        name = existing[0].name if existing else new_name()
        return EventFile(self.append(name, buffering=1 << 20), is_new=not existing)

    def rewind_events(self, checkpointed: Checkpointed) -> set[int] | None:
        """Join the event files into one, and drop what was written after the checkpoint.

        Returns:
            The epochs whose evaluation remains; None if no events remain.

        Raises:
            OSError: the new file cannot be written; the old files remain.
        """
        from gdframe.runs.event_file import rewind

        paths, damages = event_files(self), list[str]()
        if not paths:
            return None
        with replacing(paths[0], "events") as file:
            epochs = rewind(paths, checkpointed, file, damages)
        for damage in damages:
            log.warning("warning: %s", damage)
        for path in paths[1:]:
            path.unlink()
        return epochs

    def clear_events(self) -> None:
        """Remove the event files.

        Raises:
            OSError: a file cannot be removed.
        """
        for path in event_files(self):
            path.unlink()

    def read_curves(self, damages: list[str] | None = None) -> Curves:
        """Return the scalars in the event files by tag: steps and values, (points,) each.

        Args:
            damages: gets a message about each damaged file.
        """
        from gdframe.runs.event_reader import read_curves

        return read_curves(event_files(self), damages)

    def read_history(self, result: Mapping[str, Any] | None) -> RecordedHistory:
        """Return the history of the run, while it trains or after it has ended.

        Args:
            result: content of ``result.json``, if any.
        """
        from gdframe.runs.recorded_history import read_history

        return read_history(self, result, self.files(f"{CHECKPOINTS}/*"))
