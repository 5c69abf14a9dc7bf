"""Returns the command lines that train a run or a sweep again or resume it, from its folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gdframe.runs.run_folder import RunFolder
from gdframe.runs.sweep_folder import SweepFolder


def command(run: Path, overrides: Sequence[str]) -> str:
    """Return the command line that trains one run again, also a run of a sweep.

    Args:
        run: folder of the run.
        overrides: overrides of the run.
    """
    words = [word for word in overrides if not word.startswith("sweep.")]
    if any(word.startswith("experiment=") for word in words):  # an experiment may be a sweep
        words.append("hydra.mode=RUN")
    if folder := _command_line_configs(RunFolder(run).read_hydra_config()):
        words = ["--config-dir", folder, *words]
    return " ".join(["python -m gdframe", *map(shlex.quote, words)])


def resume_command(folder: Path) -> str:
    """Return the command line that resumes a run or a sweep."""
    return f"python -m gdframe resume {shlex.quote(str(folder))}"


def sweep_command(folder: Path) -> str | None:
    """Return the command line that trains a sweep again, or None if its folder does not hold it.

    Args:
        folder: folder of the sweep.
    """
    hydra = SweepFolder(folder).read_hydra_config()
    stored = hydra.get("overrides") or {}
    words = [str(word) for word in (*(stored.get("task") or []), *(stored.get("hydra") or []))]
    specific = ("sweep.dir=", "sweep.reuse=", "hydra.sweep.dir=", "hydra.mode=")
    words = [word for word in words if not word.startswith(specific)]
    if not words:
        return None
    if config_folder := _command_line_configs(hydra):
        words = ["--config-dir", config_folder, *words]
    return " ".join(["python -m gdframe -m", *map(shlex.quote, words)])


def _command_line_configs(hydra: Mapping[str, Any]) -> str | None:
    """Return the ``--config-dir`` that Hydra was started with, if any."""
    sources = (hydra.get("runtime") or {}).get("config_sources") or []
    return next((str(s["path"]) for s in sources if s.get("provider") == "command-line"), None)
