"""One run of a sweep before it is trained: its overrides, its config, its folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from gdframe.config.composer import Base, Composition
from gdframe.config.values import CONFIG_FILE, dump, plain, read_config
from gdframe.errors import UserError
from gdframe.files import storing, write_atomically
from gdframe.result import RESULT_FILE
from gdframe.stopping import Status

BESIDES = ("sweep", "debug", "logging", "checkpoint", "preflight")
"""Keys that do not change what a run computes."""


@dataclass(frozen=True)
class Job:
    """A run to be trained.

    Args:
        number: its place in the sweep, from 0; the name of its folder by default.
        overrides: what distinguishes it on the command line.
        composition: its config.
        folder: where it is written.
    """

    number: int
    overrides: tuple[str, ...]
    composition: Composition
    folder: Path

    @property
    def config(self) -> dict[str, Any]:
        """The config as plain values, with the data's path made absolute."""
        return _anchored(self.composition.plain())

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"run {self.number} ({' '.join(self.overrides)})"

    def files(self) -> dict[str, str]:
        """Return what Hydra leaves in the folder of a single run, by path in it."""
        inner = CONFIG_FILE.parent
        found = {
            str(CONFIG_FILE): self.composition.text(),
            str(inner / "overrides.yaml"): dump(list(self.overrides)),
        }
        folder = os.path.abspath(self.folder)  # noqa: PTH100 (resolving links takes long)
        if text := self.composition.base.hydra_text(self.number, self.overrides, folder):
            found[str(inner / "hydra.yaml")] = text
        return found


def _anchored(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config with the data's path made absolute."""
    data = config["data"]
    if isinstance(data, dict) and isinstance(data.get("path"), str):
        data["path"] = str(Path(data["path"]).expanduser().resolve())
    return config


def write_folders(jobs: Sequence[Job]) -> None:
    """Make the folders of runs, several at a time: making a file takes longer than filling it.

    Raises:
        NotWrittenError: one cannot be written to.
    """

    def write(folder: Path, files: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for inner in {Path(name).parent for name in files}:
            (folder / inner).mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)

    with storing(), ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(write, job.folder, job.files()) for job in jobs]:
            done.result()


def digest(config: Mapping[str, Any]) -> str:
    """Return what tells two runs apart: a hash of all that changes what they compute.

    Example:
        >>> digest({"lr": 0.1, "debug": True}) == digest({"debug": False, "lr": 0.1})
        True
    """
    chosen = {key: value for key, value in config.items() if key not in BESIDES}
    text = json.dumps(chosen, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def has_gone_on(job: Job) -> bool:
    """Say whether the run in a job's folder, if any, is another one by now: of more epochs, say."""
    if stored_result(job) is None:
        return False  # it is yet to be trained
    try:
        if (job.folder / CONFIG_FILE).read_text() == job.composition.text():
            return False
        return digest(_anchored(plain(read_config(job.folder)))) != digest(job.config)
    except (OSError, UserError):  # nothing says what it is
        return True


SWEEP_FILE = "sweep.json"
"""What a sweep's folder remembers of its runs, finished or not."""


def write_jobs(folder: Path, jobs: Sequence[Job]) -> None:
    """Write what is needed to go on with a sweep.

    Raises:
        OSError: it cannot be written.
    """
    bases = list(dict.fromkeys(job.composition.base for job in jobs))
    at = {base: index for index, base in enumerate(bases)}
    content = {
        "bases": [{"config": base.text({}), "hydra": base.hydra_text()} for base in bases],
        "jobs": [
            {
                "number": job.number,
                "folder": os.path.relpath(job.folder, folder),
                "overrides": job.overrides,
                "base": at[job.composition.base],
                "values": job.composition.values,
            }
            for job in jobs
        ],
    }
    write_atomically(folder / SWEEP_FILE, json.dumps(content) + "\n")


def read_jobs(folder: Path) -> list[Job]:
    """Return the runs that a sweep's folder remembers.

    Raises:
        UserError: the folder is no sweep's.
    """
    path = folder / SWEEP_FILE
    try:
        content = json.loads(path.read_text())
        bases = [Base.from_text(base["config"], base["hydra"]) for base in content["bases"]]
        return [
            Job(
                number=job["number"],
                overrides=tuple(job["overrides"]),
                composition=Composition(bases[job["base"]], job["values"]),
                folder=folder / job["folder"],
            )
            for job in content["jobs"]
        ]
    except FileNotFoundError:
        raise UserError(f"{folder} is no sweep's folder: it has no {SWEEP_FILE}") from None
    except (ValueError, KeyError, TypeError, OmegaConfBaseException) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def stored_result(job: Job) -> dict[str, Any] | None:
    """Return what ``result.json`` of a run holds, or None if there is none that can be read."""
    try:
        content: dict[str, Any] = json.loads((job.folder / RESULT_FILE).read_text())
    except (OSError, ValueError):
        return None
    return content


def result_of(job: Job) -> dict[str, Any] | None:
    """Return the result of a run, or None if it has yet to end by itself."""
    content = stored_result(job)
    unfinished = (str(Status.INTERRUPTED), str(Status.FAILED))
    return None if content is None or content.get("status") in unfinished else content
