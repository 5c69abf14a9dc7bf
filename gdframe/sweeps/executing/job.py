"""A run of a sweep before it is trained: its overrides, config and folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf.errors import OmegaConfBaseException

from gdframe.config.composition import Base, Composition, anchored
from gdframe.config.computation_digest import computation_digest
from gdframe.config.stored import check_resolved, check_values, parse_config, references_in
from gdframe.config.trusted_plugins import digests
from gdframe.config.values import anchor, plain, read_config
from gdframe.errors import UserError, escaped, printable
from gdframe.runs.files import storing
from gdframe.runs.folder import DamagedError
from gdframe.runs.run_folder import RunFolder
from gdframe.runs.sweep_folder import SweepFolder, why_too_many
from gdframe.stopping import Status

log = logging.getLogger("gdframe")


@dataclass(frozen=True)
class Job:
    """A run to train.

    Args:
        number: number of the run in the sweep, from 0; by default the name of its folder.
        overrides: overrides of the run on the command line.
        composition: config of the run, anchored.
        folder: folder of the run.
        lr_reason: why ``lr=auto`` chose the learning rate; else empty.
        is_excluded: whether the sweep excludes what was trained, since its data have changed.
    """

    number: int
    overrides: tuple[str, ...]
    composition: Composition
    folder: Path
    lr_reason: str = ""
    is_excluded: bool = False

    @property
    def config(self) -> dict[str, Any]:
        """The config as plain values."""
        return self.composition.plain()

    @property
    def run_folder(self) -> RunFolder:
        """The folder, with its readers and writers."""
        return RunFolder(self.folder)

    @property
    def name(self) -> str:
        """The name of the run in messages."""
        return printable(f"run {self.number} ({' '.join(self.overrides)})")

    def with_plugins(self, plugins: Sequence[str]) -> Job:
        """Return the run with other plugins in place of those with the same file names."""
        by_name = {Path(plugin).name: plugin for plugin in plugins}
        used: list[str] = self.config["plugins"]
        replaced = [by_name.get(Path(plugin).name, plugin) for plugin in used]
        if replaced == used:
            return self
        values = {**self.composition.values, "plugins": list(map(escaped, replaced))}
        return replace(self, composition=replace(self.composition, values=values))

    def write_config_files(self) -> None:
        """Write the files that Hydra writes in the folder of a single run.

        Raises:
            OSError: a file cannot be written.
        """
        folder = os.path.abspath(self.folder)  # noqa: PTH100 (resolving links takes long)
        hydra = self.composition.base.hydra_text(self.number, self.overrides, folder)
        plugins = _digests(tuple(self.composition.plain()["plugins"]))
        self.run_folder.write_config_files(
            self.composition.text(), self.overrides, hydra, plugins, flush="nothing"
        )


_digests = lru_cache(digests)


def write_folders(jobs: Sequence[Job]) -> None:
    """Make the folders of runs, several at a time: creating files is the slow part.

    Raises:
        NotWrittenError: a folder cannot be written to.
    """
    with storing(), ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(job.write_config_files) for job in jobs]:
            done.result()


def has_changed(job: Job, result: Mapping[str, Any] | None) -> bool:
    """Return whether the run in a job's folder is not the job's: the sweep excludes it.

    It was resumed with other settings, such as epochs, is of another folder, or has other data.

    Args:
        job: the run.
        result: content of its ``result.json``, if any.
    """
    if result is None and not job.run_folder.has_training_output():
        return False  # it is not trained yet
    stored = (result or {}).get("computation_digest")
    if job.is_excluded or (stored and stored != computation_digest(job.config)):
        return True
    try:
        if job.run_folder.read_config_text() == job.composition.text():
            return False
        config = read_config(job.folder)
        anchor(config)
        return computation_digest(plain(config)) != computation_digest(job.config)
    except (OSError, UserError):  # sweep.json holds them, unless the run was resumed to more epochs
        return bool(((result or {}).get("epochs") or 0) > job.config["epochs"])


def repair_config(job: Job) -> None:
    """Write the config of a run again, from the list of runs, if it is missing or damaged.

    Raises:
        NotWrittenError: the folder cannot be written to.
    """
    if not job.folder.is_dir():
        return
    try:
        if job.run_folder.read_config_text() != job.composition.text():
            read_config(job.folder)
    except (OSError, UserError):
        log.warning("warning: %s: its config was missing or damaged; it is written again", job.name)
        job.write_config_files()


def check_readable(jobs: Sequence[Job]) -> None:
    """Check that the configs of runs could be read again from the sweep folder.

    Raises:
        UserError: one could not; the message names its number and overrides.
    """
    references: dict[Base, int] = {}
    for job in jobs:
        base = job.composition.base
        try:
            if base not in references:
                references[base] = references_in(parse_config(base.text({})))
            check_values(job.composition.stored(), references[base])
        except ValueError as error:
            raise UserError(f"{job.name}: its config could not be read again: {error}") from error
    if reason := why_too_many(base.text({}) + base.hydra_text() for base in references):
        raise UserError(f"the sweep could not be read again: {reason}; sweep over fewer choices")


def write_jobs(folder: Path, jobs: Sequence[Job], metric: str | None) -> None:
    """Write the file from which a sweep is resumed.

    Args:
        folder: the sweep folder.
        jobs: every run in it.
        metric: ``sweep.metric`` of this launch.

    Raises:
        OSError: the file cannot be written.
    """
    bases = list(dict.fromkeys(job.composition.base for job in jobs))
    at = {base: index for index, base in enumerate(bases)}
    plugins = dict.fromkeys(plugin for job in jobs for plugin in job.config["plugins"])
    content = {
        "metric": metric,
        "plugins": digests(list(plugins)),
        "bases": [{"config": base.text({}), "hydra": base.hydra_text()} for base in bases],
        "jobs": [
            {
                "number": job.number,
                "folder": os.path.relpath(job.folder, folder),
                "overrides": job.overrides,
                "base": at[job.composition.base],
                "values": job.composition.stored(),
                **({"lr_reason": job.lr_reason} if job.lr_reason else {}),
                **({"excluded": True} if job.is_excluded else {}),
            }
            for job in jobs
        ],
    }
    SweepFolder(folder).write_jobs(content)


def read_jobs(folder: Path) -> list[Job]:
    """Return the runs of a sweep folder.

    Raises:
        UserError: the folder is not a sweep folder, or its file cannot be read.
    """
    sweep = SweepFolder(folder)
    content = sweep.read_jobs()
    try:
        texts = [(base["config"], base["hydra"]) for base in content["bases"]]
        used = dict.fromkeys(texts[item["base"]] for item in content["jobs"])
        built = {text: Base.from_text(*text) for text in used}  # each of them once
        references = {text: references_in(base.config) for text, base in built.items()}
        bases = [built.get(text) for text in texts]
        for item in content["jobs"]:
            check_values(item["values"], references[texts[item["base"]]])
        jobs = [
            Job(
                number=item["number"],
                overrides=tuple(item["overrides"]),
                composition=anchored(Composition(bases[item["base"]], item["values"])),
                folder=sweep.subfolder(item["folder"]).path,
                lr_reason=item.get("lr_reason", ""),
                is_excluded=item.get("excluded", False),
            )
            for item in content["jobs"]
        ]
        for job in jobs:
            check_resolved(job.config)
        return jobs
    except DamagedError:
        raise
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError,
            yaml.YAMLError, OmegaConfBaseException) as error:  # fmt: skip
        raise sweep.damaged(" ".join(str(error).split())) from error


def named_metric(folder: Path) -> str | None:
    """Return the metric that the newest launch of a sweep names, or None for the default.

    Raises:
        UserError: the list of runs cannot be read.
    """
    sweep = SweepFolder(folder)
    content = sweep.read_jobs() if sweep.has_jobs() else sweep.read_summary()
    if "metric" not in content and sweep.has_jobs():  # an earlier version wrote it
        return next((job.config["sweep"]["metric"] for job in read_jobs(folder)), None)
    return content.get("metric")


def read_results(jobs: Sequence[Job]) -> tuple[dict[int, Mapping[str, Any]], dict[int, str]]:
    """Return the content of each whole ``result.json``, and messages on those that are damaged.

    Both are by the number of the run.
    """
    results_by_number = {job.number: job.run_folder.find_result() for job in jobs}
    results: dict[int, Mapping[str, Any]] = {
        number: result for number, (result, _) in results_by_number.items() if result is not None
    }
    return results, {number: damage for number, (_, damage) in results_by_number.items() if damage}


def whole_results(jobs: Sequence[Job]) -> dict[int, Mapping[str, Any]]:
    """Return the content of each whole ``result.json``, and warn of those that are damaged."""
    results, damages = read_results(jobs)
    for damage in damages.values():
        log.warning("warning: %s", damage)
    return results


def has_ended(result: Mapping[str, Any] | None) -> bool:
    """Return whether a run has a result, and neither failed nor was interrupted."""
    unfinished = (str(Status.INTERRUPTED), str(Status.FAILED))
    return result is not None and result.get("status") not in unfinished
