"""Kills a command line at one of its file operations, and compares folders of runs and sweeps."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from command import command_line

from gdframe.runs.event_names import event_files
from gdframe.runs.event_reader import read_records
from gdframe.runs.history_table import read_rows
from gdframe.runs.run_folder import MODEL, RunFolder
from gdframe.runs.sweep_folder import SUMMARY_TABLE, SweepFolder

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink"}
"""Audited events that change a file, besides those that open one to write."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

OPERATIONS = "operations.json"
"""File beside the folder with the operations of a command line that was not killed."""


@dataclass(frozen=True)
class Kill:
    """Runs a command line that is killed at a file operation inside a folder.

    Args:
        folder: whose operations are counted.
        at: number of the operation from 0; None for none: the operations are written to a file.
        opened: whether it is killed after it has opened the file and written nothing.
    """

    folder: Path
    at: int | None = None
    opened: bool = False

    def __call__(self, arguments: Sequence[str]) -> int:
        operations: list[tuple[str, str]] = []
        is_busy = False

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal is_busy
            if is_busy or (event != "open" and event not in CHANGES):
                return
            path = str(arguments[0])
            if not Path(path).is_absolute():
                path = str(Path.cwd() / path)
            is_writing = event != "open" or arguments[2] & WRITING
            if not is_writing or not path.startswith(str(self.folder)):
                return
            if len(operations) == self.at:
                if self.opened and event == "open":
                    is_busy = True
                    os.open(path, arguments[2], 0o666)
                os.kill(os.getpid(), signal.SIGKILL)
            operations.append((event, path))

        sys.addaudithook(watch)
        code = command_line(arguments)
        if self.at is None:
            (self.folder.parent / OPERATIONS).write_text(json.dumps(operations))
        return code


TIMES = ("seconds", "versions", "folder")
"""Fields of results that differ between two runs of the same settings."""


def contents(folder: Path) -> dict[str, Any]:
    """Return what a run or a sweep has measured and written, without times."""
    runs = {str(run.path.relative_to(folder)): _of_run(run) for run in _runs(folder)}
    summary = folder / SUMMARY_TABLE
    rows = list(csv.DictReader(io.StringIO(summary.read_text()))) if summary.exists() else []
    means = {
        str(path.parent.relative_to(folder)): _points(path)
        for path in event_files(SweepFolder(folder), "mean/*")
    }
    table = [
        {key: value for key, value in row.items() if not key.startswith(TIMES)} for row in rows
    ]
    leftovers = [str(path.relative_to(folder)) for path in folder.rglob("*.tmp")]
    return {"runs": runs, "summary": table, "means": means, "leftovers": leftovers}


def _runs(folder: Path) -> list[RunFolder]:
    single = RunFolder(folder)
    return [single] if single.is_run() else SweepFolder(folder).runs()


def _of_run(run: RunFolder) -> dict[str, Any]:
    result = run.read_result()
    assert result is not None, run
    capture, problems = run.load_checkpoint()
    assert problems == []
    history = {} if capture is None else capture.history()
    tensors = safetensors.torch.load_file(run.path / MODEL)
    (events,) = event_files(run) or [None]
    return {
        "config": run.read_config_text().replace(str(run.path), "RUN"),
        "result": {key: value for key, value in result.items() if key not in TIMES},
        "parameters": {name: tensor.tolist() for name, tensor in tensors.items()},
        "history": {k: v.tolist() for k, v in history.items() if "seconds" not in k},
        "table": [{k: v for k, v in row.items() if k != "seconds"}
                  for row in read_rows(run)],
        "events": [] if events is None else _points(events),
    }  # fmt: skip


def _points(path: Path) -> list[tuple[str, int, str]]:
    """Return tag, step and content of each value in an event file, sorted."""
    points: list[tuple[str, int, str]] = []
    for _, event in read_records(path):
        for value in event.summary.value:
            is_timed = value.tag.startswith("_hparams_")  # with the times of start and end
            points.append((value.tag, event.step, "" if is_timed else _content(value)))
    return sorted(points)


def _content(value: Any) -> str:
    return str(value.SerializeToString())


def differing(expected: Any, actual: Any, path: str = "") -> Iterator[str]:
    """Yield the places where two contents differ."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in expected.keys() | actual.keys():
            yield from differing(expected.get(key), actual.get(key), f"{path}/{key}")
    elif expected != actual and not (expected != expected and actual != actual):
        yield f"{path}: {str(expected)[:200]} != {str(actual)[:200]}"
