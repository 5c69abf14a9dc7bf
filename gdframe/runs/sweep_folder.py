"""The folder of a sweep: every file name, reader and writer of what a sweep leaves besides runs."""

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
        path: of the folder, which may not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __str__(self) -> str:
        return str(self.path)

    # what it is

    def has_jobs(self) -> bool:
        """Return whether the folder remembers the runs of a sweep."""
        return (self.path / JOBS).is_file()

    def is_sweep(self) -> bool:
        """Return whether this is the folder of a sweep, ended or not."""
        if RunFolder(self.path).is_run():
            return False
        return self.has_jobs() or bool(self.runs())

    def is_taken(self) -> bool:
        """Return whether a sweep was started here."""
        return (self.path / HYDRA_CONFIG).exists()

    def runs(self) -> list[RunFolder]:
        """Return the folders of runs in it, in the order of their numbers."""
        paths = [path.parent for path in self.path.glob(f"*/{HYDRA}") if path.is_dir()]
        return [RunFolder(path) for path in sorted(paths, key=_place)]

    def has_runs(self) -> bool:
        """Return whether there is a folder of a run in it."""
        return next(self.path.glob(f"*/{HYDRA}"), None) is not None

    @contextmanager
    def lock(self, *, shared: bool = False) -> Iterator[None]:
        """Keep other processes from training here.

        Args:
            shared: keep out only who trains the whole sweep, as one run that is resumed does.

        Raises:
            UserError: another process trains here.
        """
        with exclusive(self.path, shared=shared):
            yield

    def is_training(self) -> bool:
        """Return whether a process trains here."""
        return is_locked(self.path)

    # what it remembers of its runs

    def write_jobs(self, content: Mapping[str, Any]) -> None:
        """Write what is needed to continue the sweep.

        Raises:
            OSError: it cannot be written.
        """
        write_atomically(self.path / JOBS, json.dumps(content) + "\n")

    def read_jobs(self) -> dict[str, Any]:
        """Return what ``write_jobs`` wrote.

        Raises:
            UserError: there is none, or it cannot be read.
        """
        path = self.path / JOBS
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError:
            raise UserError(f"{self} is not the folder of a sweep: it has no {JOBS}") from None
        except (OSError, ValueError) as error:
            raise self.unreadable(error) from error
        if not isinstance(content, dict):
            raise self.unreadable("it holds no object")
        return content

    def unreadable(self, reason: object) -> UserError:
        """Return the error for jobs that cannot be read."""
        return UserError(f"{self.path / JOBS} cannot be read: {reason}")

    # what Hydra wrote

    def write_hydra_config(self, text: str) -> None:
        """Write what a sweep from Python was asked for, where Hydra would have written it.

        Raises:
            OSError: it cannot be written.
        """
        write_atomically(self.path / HYDRA_CONFIG, text)

    def read_hydra_config(self) -> Mapping[str, Any]:
        """Return what Hydra wrote of itself; nothing where that cannot be read."""
        return read_hydra(self.path / HYDRA_CONFIG)

    # what it adds up to

    def write_summary(self, table: str, content: str) -> None:
        """Write ``summary.csv`` and ``summary.json``.

        Raises:
            OSError: they cannot be written.
        """
        write_atomically(self.path / SUMMARY_TABLE, table)
        write_atomically(self.path / SUMMARY, content)

    def read_summary(self) -> Mapping[str, Any]:
        """Return what ``summary.json`` holds; nothing where that cannot be read."""
        try:
            content = json.loads((self.path / SUMMARY).read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def clear_means(self) -> None:
        """Remove mean curves of earlier launches.

        Raises:
            OSError: one cannot be removed.
        """
        for path in (self.path / MEANS).glob(f"*/{EVENTS}"):
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()

    def mean(self, name: str) -> RunFolder:
        """Return where the mean curves of a configuration go."""
        return RunFolder(self.path / MEANS / name)

    def worker(self, number: int) -> str:
        """Return the folder of a worker, as seen from this one."""
        return f"{WORKERS}/{number}"

    def open_events(self) -> EventFile:
        """Open a new event file of the sweep itself, in place of earlier ones.

        Raises:
            OSError: it cannot be written.
        """
        folder = RunFolder(self.path)
        folder.clear_events()
        return folder.open_events()


def sweep_of(run: Path) -> SweepFolder | None:
    """Return the sweep that a run belongs to, if any."""
    parents: Sequence[Path] = run.resolve().parents[:3]
    folders = (SweepFolder(parent) for parent in parents)
    return next((folder for folder in folders if folder.has_jobs()), None)


def _place(run: Path) -> tuple[int, int, str]:
    return (0, int(run.name), "") if run.name.isdigit() else (1, 0, run.name)
