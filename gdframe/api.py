"""``gdframe.train(...)`` and ``gdframe.sweep(...)``: as on the command line, from Python."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gdframe.config.composer import Composer
from gdframe.config.folders import claim, discard, refuse_taken, register_resolver
from gdframe.config.hydra_internals import combinations
from gdframe.config.messages import compose_config, explain, named_plugins, parse, refuse_null
from gdframe.config.schema import register_nodes
from gdframe.config.train_run import train_run
from gdframe.config.validation import check
from gdframe.config.values import anchor, dump, plain
from gdframe.errors import UserError
from gdframe.registry.plugins import absolute, load_plugins
from gdframe.runs.result import Result
from gdframe.runs.run_folder import RunFolder
from gdframe.runs.sweep_folder import SweepFolder
from gdframe.sweeps.comparing.comparison import Configuration, Difference
from gdframe.sweeps.executing.job import Job
from gdframe.sweeps.executing.train_sweep import train_sweep
from gdframe.sweeps.writing.conclusion import conclude


def train(*overrides: str, folder: str | Path | None = None) -> Result:
    """Train one run, composed from the same config as ``python -m gdframe``.

    Args:
        overrides: as on the command line: ``"variant=sgd"``, ``"lr=0.01"``.
        folder: where the run is written; by default a new ``outputs/DATE/TIME``.

    Returns:
        How the run ended, its history as arrays, the trained module and the folder.

    Raises:
        UserError: an override or the data cannot be used.

    Example:
        >>> import tempfile
        >>> result = train("variant=batch", "epochs=3", folder=tempfile.mkdtemp())
        >>> str(result.status), result.history["objective"].shape
        ('max_epochs', (4,))
    """
    started = time.perf_counter()
    config = composed(overrides)
    target = claim(Path("outputs")) if folder is None else Path(folder)
    refuse_taken(target)
    try:
        folder_of_run = RunFolder(target)
        folder_of_run.write_start(OmegaConf.to_yaml(config), overrides)
        return train_run(plain(config), folder_of_run, started=started)
    except UserError:
        discard(target)
        raise


@dataclass(frozen=True)
class SweepResult:
    """What a sweep came to.

    Args:
        folder: where it was written.
        runs: a row for each run: its overrides, what ``result.json`` holds flattened, its folder.
        configurations: what is varied but the seed, best first, each with mean, deviation and
            interval over its seeds.
        differences: of the levels of each varied key, on the seeds that two have in common.
        interrupted: whether Ctrl-C ended it.
        text: the table that the command line prints.
    """

    folder: Path
    runs: list[dict[str, Any]]
    configurations: list[Configuration]
    differences: list[Difference]
    interrupted: bool
    text: str = field(repr=False)


def sweep(
    *overrides: str, folder: str | Path | None = None, batch: int | None = None
) -> SweepResult:
    """Train every combination of values, those of one structure together.

    Args:
        overrides: as on the command line after ``-m``: ``"lr=0.01,0.1"``, ``"seed=range(5)"``.
        folder: where the sweep is written; by default a new ``outputs/sweeps/DATE/TIME``. A sweep
            that is there already is added to: only its new runs are trained.
        batch: most runs trained together; by default what memory holds.

    Returns:
        The runs, and how their configurations compare.

    Raises:
        UserError: an override or the data cannot be used; nothing was trained.

    Example:
        >>> import tempfile
        >>> found = sweep("variant=batch", "epochs=3", "lr=0.01,0.1", folder=tempfile.mkdtemp())
        >>> [best.settings["lr"] for best in found.configurations]
        ['0.1', '0.01']
    """
    plugins = _prepare(overrides)
    words = [*_own_combinations(overrides), *overrides]
    if (named := _named_folder(overrides)) is not None:
        if folder is not None and Path(folder) != named:
            raise UserError(f"folder={folder}, and sweep.dir={named}: name the folder once")
        folder = named
    runs = [
        [*words, f"plugins=[{','.join(plugins)}]"] if plugins else words
        for words in combinations(parse(words))
    ]
    if not runs:
        raise UserError("the sweep is empty: no combination of values is left to train")
    claimed = folder is None
    target = claim(Path("outputs/sweeps")) if folder is None else Path(folder)
    composer = Composer(compose_config)
    try:
        jobs = []
        for number, words in enumerate(runs):
            try:
                composition = composer.compose(words)
                composition.plain()
            except (HydraException, OmegaConfBaseException) as error:
                raise explain(error, words) from error
            jobs.append(Job(number, tuple(words), composition, target / str(number)))
        config = jobs[0].config
        metric, show = config["sweep"]["metric"], config["logging"]["progress"]
        outcome = train_sweep(target, jobs, most=batch, metric=metric, reuse=True, show=show)
    except UserError:
        if claimed:
            discard(target)
        raise
    asked = {"hydra": {"overrides": {"task": list(overrides)}}}  # where Hydra would note it
    SweepFolder(target).write_hydra_config(dump(asked))
    summary = conclude(target, outcome, metric)
    return SweepResult(
        folder=target,
        runs=summary.rows,
        configurations=summary.configurations,
        differences=summary.differences,
        interrupted=outcome.interrupted,
        text=summary.text,
    )


def _own_combinations(overrides: Sequence[str]) -> list[str]:
    """Return what an experiment sweeps by itself, as ``KEY=VALUES``."""
    chosen = [text for text in overrides if text.lstrip("+").startswith("experiment=")]
    if not chosen:
        return []
    try:
        config = compose_config(chosen, hydra=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, overrides) from error
    return [f"{key}={values}" for key, values in (config.hydra.sweeper.params or {}).items()]


def _named_folder(overrides: Sequence[str]) -> Path | None:
    """Return the last folder that ``sweep.dir=`` names."""
    given = [text for text in overrides if text.startswith("sweep.dir=")]
    return Path(str(parse(given[-1:])[0].value())) if given else None


def composed(overrides: Sequence[str]) -> DictConfig:
    """Return the config that overrides make, checked.

    Raises:
        UserError: one cannot be used.
    """
    plugins = _prepare(overrides)
    try:
        config = compose_config(overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, overrides) from error
    config.plugins = plugins
    check(plain(config))
    anchor(config)
    return config


def _prepare(overrides: Sequence[str]) -> list[str]:
    """Load the plugins that overrides name; return them by absolute paths."""
    plugins = [absolute(plugin) for plugin in named_plugins(overrides)]
    load_plugins(plugins)
    register_nodes()
    refuse_null(overrides)
    register_resolver()
    return plugins
