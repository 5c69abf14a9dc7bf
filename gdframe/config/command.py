"""The command lines that train a run or a sweep again, from what its folder holds."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gdframe.runs.run_folder import RunFolder
from gdframe.runs.sweep_folder import SweepFolder


def command(run: Path, overrides: Sequence[str]) -> str:
    """Return the command line that trains a run by itself, of a sweep or not.

    Args:
        run: its folder.
        overrides: of the run.
    """
    words = [word for word in overrides if not word.startswith("sweep.")]
    if any(word.startswith("experiment=") for word in words):  # which may be a sweep by itself
        words.append("hydra.mode=RUN")
    if folder := _config_dir(run):
        words = ["--config-dir", folder, *words]
    return " ".join(["python -m gdframe", *map(shlex.quote, words)])


def sweep_command(folder: Path) -> str | None:
    """Return the command line that trains a sweep again; None where its folder does not tell.

    Args:
        folder: the sweep's.
    """
    hydra = SweepFolder(folder).read_hydra_config()
    given = hydra.get("overrides") or {}
    words = [str(word) for word in (*(given.get("task") or []), *(given.get("hydra") or []))]
    own = ("sweep.dir=", "sweep.reuse=", "hydra.sweep.dir=", "hydra.mode=")
    words = [word for word in words if not word.startswith(own)]
    if not words:
        return None
    if folder_of_configs := _configs(hydra):
        words = ["--config-dir", folder_of_configs, *words]
    return " ".join(["python -m gdframe -m", *map(shlex.quote, words)])


def _config_dir(run: Path) -> str | None:
    """Return the folder of configs that a run was started with, besides gdframe's own."""
    return _configs(RunFolder(run).read_hydra_config())


def _configs(hydra: Mapping[str, Any]) -> str | None:
    sources = (hydra.get("runtime") or {}).get("config_sources") or []
    return next((str(s["path"]) for s in sources if s.get("provider") == "command-line"), None)
