"""The folder of a sweep: every file name, reader and writer, except those of its runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdframe.errors import UserError
from gdframe.runs.files import write_atomically
from gdframe.runs.lock import exclusive, is_locked
from gdframe.runs.run_folder import EVENTS, HYDRA, RunFolder, read_hydra

if TYPE_CHECKING:
    from gdframe.runs.event_file import EventFile

JOBS = "sweep.json"
SUMMARY_TABLE = "summary.csv"
SUMMARY = "summary.json"
HYDRA_CONFIG = "multirun.yaml"
MEANS = "mean"
WORKERS = ".batches"


class SweepFolder:
    """The folder of one sweep.

    Args:
        path: of the folder, which need not exist.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __str__(self) -> str:
        return str(self.path)

    # state

    def has_jobs(self) -> bool:
        """Return whether there is a list of the sweep's runs."""
        return (self.path / JOBS).is_file()

    def is_sweep(self) -> bool:
        """Return whether this is a sweep folder, ended or not."""
        if RunFolder(self.path).is_run():
            return False
        return self.has_jobs() or bool(self.runs())

    def is_occupied(self) -> bool:
        """Return whether a sweep was started here."""
        return (self.path / HYDRA_CONFIG).exists()

    def runs(self) -> list[RunFolder]:
        """Return the run folders of the sweep by number."""
        paths = [path.parent for path in self.path.glob(f"*/{HYDRA}") if path.is_dir()]
        return [RunFolder(path) for path in sorted(paths, key=_run_order)]

    def has_runs(self) -> bool:
        """Return whether there is a run folder in the sweep folder."""
        return next(self.path.glob(f"*/{HYDRA}"), None) is not None

    @contextmanager
    def lock(self, *, shared: bool = False) -> Iterator[None]:
        """Keep other processes from training here.

        Args:
            shared: whether to allow other shared locks; a resumed run of the sweep shares it.

        Raises:
            UserError: another process trains here.
        """
        with exclusive(self.path, shared=shared):
            yield

    def is_training(self) -> bool:
        """Return whether a process trains here."""
        return is_locked(self.path)

    # the list of runs

    def write_jobs(self, content: Mapping[str, Any]) -> None:
        """Write the list of runs, from which the sweep can be continued.

        Raises:
            OSError: the file cannot be written.
        """
        write_atomically(self.path / JOBS, json.dumps(content) + "\n")

    def read_jobs(self) -> dict[str, Any]:
        """Return the list of runs that ``write_jobs`` wrote.

        Raises:
            UserError: there is no list, or it cannot be read.
        """
        path = self.path / JOBS
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError:
            raise UserError(f"{self}: is not a sweep folder; it has no {JOBS}") from None
        except (OSError, ValueError) as error:
            raise self.unreadable(error) from error
        if not isinstance(content, dict):
            raise self.unreadable("it is not a JSON object")
        return content

    def unreadable(self, reason: object) -> UserError:
        """Return the error for a list of runs that cannot be read."""
        return UserError(f"{self.path / JOBS}: cannot be read: {reason}")

    # Hydra's config

    def write_hydra_config(self, text: str) -> None:
        """Write the overrides of a sweep from Python into Hydra's file.

        Raises:
            OSError: the file cannot be written.
        """
        write_atomically(self.path / HYDRA_CONFIG, text)

    def read_hydra_config(self) -> Mapping[str, Any]:
        """Return Hydra's own config; empty if it cannot be read."""
        return read_hydra(self.path / HYDRA_CONFIG)

    # the summary

    def write_summary(self, table: str, content: str) -> None:
        """Write ``summary.csv`` and ``summary.json``.

        Raises:
            OSError: a file cannot be written.
        """
        write_atomically(self.path / SUMMARY_TABLE, table)
        write_atomically(self.path / SUMMARY, content)

    def read_summary(self) -> Mapping[str, Any]:
        """Return the content of ``summary.json``; empty if it cannot be read."""
        try:
            content = json.loads((self.path / SUMMARY).read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def clear_means(self) -> None:
        """Remove the mean curves of earlier launches.

        Raises:
            OSError: a file cannot be removed.
        """
        for path in (self.path / MEANS).glob(f"*/{EVENTS}"):
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()

    def mean(self, name: str) -> RunFolder:
        """Return the folder for the mean curves of a configuration."""
        return RunFolder(self.path / MEANS / name)

    def worker(self, number: int) -> str:
        """Return the folder of a worker, relative to the sweep folder."""
        return f"{WORKERS}/{number}"

    def open_events(self) -> EventFile:
        """Remove the sweep's own event files and open a new one.

        Raises:
            OSError: a file cannot be removed or written.
        """
        folder = RunFolder(self.path)
        folder.clear_events()
        return folder.open_events()


def sweep_of(run: Path) -> SweepFolder | None:
    """Return the folder of the sweep that a run belongs to, if any."""
    parents: Sequence[Path] = run.resolve().parents[:3]
    folders = (SweepFolder(parent) for parent in parents)
    return next((folder for folder in folders if folder.has_jobs()), None)


def _run_order(run: Path) -> tuple[int, int, str]:
    return (0, int(run.name), "") if run.name.isdigit() else (1, 0, run.name)
