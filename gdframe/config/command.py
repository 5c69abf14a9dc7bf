"""The command line that trains a run again, from what its folder holds."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from gdframe.config.values import CONFIG_FILE

HYDRA_FILE = CONFIG_FILE.with_name("hydra.yaml")


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


def _config_dir(run: Path) -> str | None:
    """Return the folder of configs that a run was started with, besides gdframe's own."""
    try:
        hydra = OmegaConf.load(run / HYDRA_FILE)
    except (OSError, ValueError, YAMLError, OmegaConfBaseException):
        return None
    sources = OmegaConf.select(hydra, "hydra.runtime.config_sources") or []
    return next((str(s.path) for s in sources if s.get("provider") == "command-line"), None)
