"""The folder of a sweep: every file name, reader and writer, except those of its runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdframe.errors import UserError
from gdframe.runs.event_names import event_files
from gdframe.runs.files import remove_unfinished
from gdframe.runs.folder import DamagedError, Folder, optional, read_hydra
from gdframe.runs.picture_files import HEAT_MAP, LEARNING_RATES
from gdframe.runs.run_folder import CHECKPOINTS, CONFIG, HYDRA, REPORT, RunFolder

if TYPE_CHECKING:
    from gdframe.runs.event_file import EventFile

JOBS = "sweep.json"
SUMMARY_TABLE = "summary.csv"
SUMMARY = "summary.json"
HYDRA_CONFIG = "multirun.yaml"
MEANS = "mean"
WORKERS = ".batches"

MOST_BYTES, MOST_CONFIGS, MOST_CHARACTERS = 1 << 28, 1_000, 1 << 22
"""Most bytes of a list of runs; most configs in it that differ, and their characters."""

MOST_HEAD = 1 << 20
"""Bytes of a list of runs in which the configs begin, after the plugins."""

ADVICE = "its runs are whole folders of their own: resume or report them one by one"
"""Advice on a damaged list of runs."""


def why_too_many(configs: Iterable[str]) -> str | None:
    """Return why the configs of a sweep that differ would take too long to read, or None."""
    configs = list(configs)
    if len(configs) > MOST_CONFIGS:
        return (
            f"its runs have {len(configs):,} different configs; at most {MOST_CONFIGS:,} are read"
        )
    if sum(map(len, configs)) > MOST_CHARACTERS:
        return f"its configs have more than {MOST_CHARACTERS:,} characters"
    return None


def why_no_run_folder(name: str) -> str | None:
    """Return why a run of a sweep cannot have a folder of this name in the sweep folder, or None.

    Example:
        >>> why_no_run_folder("0/checkpoint"), why_no_run_folder("a/0")
        ('a run keeps its own files in checkpoint', None)
    """
    parts = Path(name).parts
    if not parts:
        return "it is the folder of the sweep, and each run needs a folder of its own"
    if parts[0] in (MEANS, WORKERS):
        return f"a sweep keeps its own files in {parts[0]}"
    if parts[0] in (JOBS, SUMMARY_TABLE, SUMMARY, HYDRA_CONFIG, REPORT):
        return f"a sweep has a file of its own with the name {parts[0]}"
    inner = next((part for part in parts if part in (HYDRA, CHECKPOINTS)), None)
    return None if inner is None else f"a run keeps its own files in {inner}"


def shared_folder(names: Sequence[str]) -> tuple[int, int] | None:
    """Return the indices of two runs, the second in the folder of the first, or None.

    Args:
        names: of the folders of runs; different ones may stand for the same folder.

    Example:
        >>> shared_folder(["0", "a/b", "./a//b"]), shared_folder(["0/1", "0"])
        ((1, 2), (1, 0))
    """
    places: dict[Path, int] = {}
    for index, name in enumerate(names):
        if (other := places.setdefault(Path(name), index)) != index:
            return other, index
    for path, index in places.items():
        for parent in path.parents:
            if parent in places:
                return places[parent], index
    return None


class SweepFolder(Folder):
    """The folder of one sweep.

    Args:
        path: of the folder, which need not exist.
    """

    # state

    def has_jobs(self) -> bool:
        """Return whether there is a list of the sweep's runs."""
        return self.has(JOBS)

    def is_listed(self) -> bool:
        """Return whether there is a list of runs that gdframe has written, by how it begins.

        Other programs have a ``sweep.json``, too.
        """
        try:
            with self.open(JOBS) as file:
                return b'"bases"' in file.read(MOST_HEAD)
        except (DamagedError, OSError):
            return False

    def is_sweep(self) -> bool:
        """Return whether this is a sweep folder, ended or not."""
        if RunFolder(self.path).is_run():
            return False
        return self.has_jobs() or bool(self.runs())

    def is_unlisted(self) -> bool:
        """Return whether a launch was killed here before it listed its runs."""
        is_launch = self.has(HYDRA_CONFIG) and self._is_hydra_config_ours()
        return is_launch and not self.has_jobs() and not self.has_runs()

    def occupants(self) -> list[Path]:
        """Return the files here that a new sweep would write or remove, and configs of runs.

        Hydra's config of a launch that was killed before it listed its runs does not count.
        """
        pictures = (f"{name}{end}.png" for name in (LEARNING_RATES, HEAT_MAP) for end in ("", "-*"))
        names = (
            JOBS, SUMMARY_TABLE, SUMMARY, f"*/{CONFIG}", *pictures,
            *(() if self._is_hydra_config_ours() else (HYDRA_CONFIG,)),
        )  # fmt: skip
        events = (event_files(self, inside) for inside in (".", MEANS, f"{MEANS}/*"))
        return [*(path for name in names for path in self.files(name)), *chain(*events)]

    def runs(self) -> list[RunFolder]:
        """Return the run folders of the sweep by number."""
        paths = [path.parents[1] for path in self.files(f"*/{CONFIG}")]
        return [RunFolder(path) for path in sorted(paths, key=_run_order)]

    def has_runs(self) -> bool:
        """Return whether there is a run folder in the sweep folder."""
        return bool(self.files(f"*/{CONFIG}"))

    @contextmanager
    def lock(self, *, shared: bool = False) -> Iterator[None]:
        """Keep other processes from training here, and remove what dead ones left unfinished.

        Raises:
            UserError: another process trains here.
        """
        with super().lock(shared=shared):
            if not shared:
                remove_unfinished(self.path)
            yield

    # the list of runs

    def write_jobs(self, content: Mapping[str, Any]) -> None:
        """Write the list of runs, from which the sweep can be continued.

        Raises:
            OSError: the file cannot be written.
        """
        self.write(JOBS, json.dumps(content) + "\n")

    def read_jobs(self) -> dict[str, Any]:
        """Return the list of runs that ``write_jobs`` wrote.

        Raises:
            UserError: there is no list, or it cannot be read.
        """
        try:
            content: dict[str, Any] = self.read_json(
                JOBS, "SweepFile", advice=ADVICE, most=MOST_BYTES
            )
        except FileNotFoundError:
            raise UserError(f"{self}: is not a sweep folder; it has no {JOBS}") from None
        if reason := why_too_many(base["config"] + base["hydra"] for base in content["bases"]):
            raise self.damaged(reason)
        names = [job["folder"] for job in content["jobs"]]
        for name in names:
            if reason := why_no_run_folder(name):
                raise self.damaged(f"a run has the folder '{name}': {reason}")
        if len({job["number"] for job in content["jobs"]}) < len(names):
            raise self.damaged("two runs have the same number")
        if (shared := shared_folder(names)) is not None:
            raise self.damaged(f"two runs have the same folder, '{names[shared[0]]}'")
        return content

    def read_plugins(self) -> dict[str, str]:
        """Return the digests of the plugins of the sweep by their paths.

        Raises:
            UserError: the list of runs cannot be read.
        """
        digests: dict[str, str] = self.read_jobs().get("plugins", {})
        return digests

    def damaged(self, reason: object) -> DamagedError:
        """Return the error for a list of runs that cannot be used."""
        return DamagedError(f"{self.path / JOBS}: is damaged: {reason}; {ADVICE}")

    # Hydra's config

    def write_hydra_config(self, text: str) -> None:
        """Write the overrides of a sweep from Python into Hydra's file.

        Raises:
            OSError: the file cannot be written.
        """
        self.write(HYDRA_CONFIG, text)

    def check_places(self, *, by_others: bool) -> None:
        """Check that nothing stands where a sweep writes its files and its runs.

        Args:
            by_others: whether Hydra or its launchers make folders here: they follow links. Those of
                launchers, such as ``.submitit``, begin with a dot.

        Raises:
            DamagedError: there is a link, a device, or a folder for a file, or the reverse.
        """
        for name in (HYDRA_CONFIG, JOBS, SUMMARY_TABLE, SUMMARY):
            self.file(name)
        for name in (MEANS, WORKERS):
            self.subfolder(name)
        for pattern in ("*", "*/*", ".*/**/*") * by_others:
            for path in self.path.glob(pattern):
                if path.is_symlink():
                    raise DamagedError(f"{path}: is a link, where a run may be written; remove it")

    def remove_hydra_config(self) -> None:
        """Remove Hydra's config.

        Raises:
            OSError: the file cannot be removed.
        """
        self.remove(HYDRA_CONFIG)

    def _is_hydra_config_ours(self) -> bool:
        """Return whether Hydra's config, if there is one, is of gdframe, or empty."""
        if not self.has(HYDRA_CONFIG) or not (self.path / HYDRA_CONFIG).stat().st_size:
            return True
        job = self.read_hydra_config().get("job")
        return isinstance(job, dict) and job.get("name") == "gdframe"

    def read_hydra_config(self) -> Mapping[str, Any]:
        """Return Hydra's own config; empty if it cannot be read."""
        return read_hydra(self, HYDRA_CONFIG)

    # the summary

    def write_summary(self, table: str, content: str) -> None:
        """Write ``summary.csv`` and ``summary.json``.

        Raises:
            OSError: a file cannot be written.
        """
        self.write(SUMMARY_TABLE, table, flush="file")
        self.write(SUMMARY, content)

    def read_summary(self) -> Mapping[str, Any]:
        """Return the content of ``summary.json``; empty if it is damaged."""
        content: Mapping[str, Any] = optional(
            lambda: self.read_json(SUMMARY, "SummaryFile", most=MOST_BYTES), {}
        )
        return content

    def clear_means(self) -> None:
        """Remove the mean curves of earlier launches.

        Raises:
            OSError: a file cannot be removed.
        """
        for path in event_files(self, f"{MEANS}/*"):
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()

    def check_run_folder(self, name: str) -> None:
        """Check that a run's folder lies inside, without links, and is none of the sweep's own.

        Raises:
            UserError: it does not, or it is.
        """
        self.file(f"{name}/{CONFIG}")
        if reason := why_no_run_folder(name):
            raise UserError(
                f"hydra.sweep.subdir={name}: {reason}; choose another name, for example "
                "${hydra.job.num}"
            )

    def mean(self, name: str) -> RunFolder:
        """Return the folder for the mean curves of a configuration.

        Raises:
            DamagedError: there is a link or a file.
        """
        return RunFolder(self.subfolder(f"{MEANS}/{name}").path)

    def worker(self, number: int) -> str:
        """Return the folder of a worker, relative to the sweep folder."""
        return f"{WORKERS}/{number}"

    def open_overview(self) -> EventFile:
        """Open a new event file beside the mean curves; remove those of earlier launches.

        Raises:
            OSError: a file cannot be removed or written.
        """
        RunFolder(self.path).clear_events()  # of earlier versions
        folder = RunFolder(self.subfolder(MEANS).path)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.clear_events()
        return folder.open_events()


def job_number(name: str) -> int | None:
    """Return the number that the name of a run folder is, or None for another name.

    Example:
        >>> job_number("12"), job_number("lr=1"), job_number("²"), job_number("9" * 20)
        (12, None, None, None)
    """
    return int(name) if re.fullmatch("[0-9]{1,15}", name) else None


def _run_order(run: Path) -> tuple[bool, int, str]:
    number = job_number(run.name)
    return number is None, number or 0, run.name
