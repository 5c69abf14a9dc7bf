"""``gdframe.train(...)`` and ``gdframe.sweep(...)``: the command line from Python."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from gdframe.config.compose import compose_config
from gdframe.config.composition import Composer, anchored
from gdframe.config.folders import claim, discard, hold, refuse_occupied, register_resolver
from gdframe.config.hydra_internals import combinations
from gdframe.config.messages import explain, refuse_choices
from gdframe.config.override_syntax import named_plugins, parse, with_plugins
from gdframe.config.overrides import check_texts, named_folder, refuse_unheard
from gdframe.config.schema import register_nodes
from gdframe.config.stored import config_text, resolve, text_with_rate
from gdframe.config.train_run import train_run
from gdframe.config.trusted_plugins import digests, load_named
from gdframe.config.validation import check
from gdframe.config.values import anchor, dump, plain
from gdframe.errors import UserError, escaped
from gdframe.observers.base import Observer
from gdframe.runs.log import begin_launch
from gdframe.runs.result import Result
from gdframe.runs.run_folder import RunFolder
from gdframe.runs.sweep_folder import SweepFolder
from gdframe.sweeps.comparing.comparison import Configuration
from gdframe.sweeps.comparing.differences import Difference
from gdframe.sweeps.executing.job import Job
from gdframe.sweeps.executing.train_sweep import train_sweep
from gdframe.sweeps.writing.conclusion import conclude


def train(
    *overrides: str, folder: str | Path | None = None, observers: Sequence[Observer] = ()
) -> Result:
    """Train one run with the overrides of ``python -m gdframe``.

    Args:
        overrides: as on the command line: ``"variant=sgd"``, ``"lr=0.01"``.
        folder: folder of the run; by default a new ``outputs/DATE/TIME``.
        observers: watch the run besides those that the config names.

    Returns:
        The status of the run, its history as arrays, the trained module and the folder.

    Raises:
        UserError: an override or the data cannot be used.

    Example:
        >>> import tempfile
        >>> result = train("variant=batch", "epochs=3", folder=tempfile.mkdtemp())
        >>> str(result.status), result.history["objective"].shape
        ('max_epochs', (4,))
    """
    begin_launch()
    started = time.perf_counter()
    config = composed(overrides)
    text = config_text(config)
    words = [with_plugins(word, config.plugins) for word in overrides]
    target = (claim(Path("outputs")) if folder is None else Path(folder)).absolute()
    with hold(target):
        refuse_occupied(target)
        run_folder = RunFolder(target)
        plugins = digests(config.plugins)
        try:
            return train_run(
                plain(config), run_folder, started=started, observers=observers,
                write_config=lambda lr, reason: run_folder.write_config_files(
                    text_with_rate(config, text, lr, reason), words, plugins=plugins
                ),
            )  # fmt: skip
        except UserError:
            discard(target)
            raise


@dataclass(frozen=True)
class SweepResult:
    """The results of a sweep.

    Args:
        folder: the sweep folder.
        runs: a row for each run: its overrides, its flattened ``result.json``, its folder.
        configurations: the configurations, best first, each with mean, deviation and interval over
            its seeds.
        differences: between levels of each varied key, over the seeds that both levels have.
        interrupted: whether Ctrl-C ended the sweep.
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
    """Train every combination of values; runs of one structure train together.

    Args:
        overrides: as on the command line after ``-m``: ``"lr=0.01,0.1"``, ``"seed=range(5)"``.
        folder: the sweep folder; by default a new ``outputs/sweeps/DATE/TIME``. If it already
            holds a sweep, only the new runs are trained and added.
        batch: most runs that train together; by default as many as fit in memory.

    Returns:
        The runs, and the comparison of their configurations.

    Raises:
        UserError: an override or the data cannot be used; nothing was trained.

    Example:
        >>> import tempfile
        >>> result = sweep("variant=batch", "epochs=3", "lr=0.01,0.1", folder=tempfile.mkdtemp())
        >>> [best.settings["lr"] for best in result.configurations]
        ['0.1', '0.01']
    """
    begin_launch()
    plugins = _prepare(overrides)
    launch = [with_plugins(word, plugins) for word in overrides]
    words = [*_experiment_sweep(launch), *launch]
    if (named := _named_folder(overrides)) is not None:
        if folder is not None and Path(folder) != named:
            raise UserError(f"folder={folder} and sweep.dir={named}: name the folder once")
        folder = named
    runs = combinations(parse(words))
    if not runs:
        raise UserError("the sweep is empty: no combination of values is left to train")
    is_claimed = folder is None
    target = (claim(Path("outputs/sweeps")) if folder is None else Path(folder)).absolute()
    composer = Composer(compose_config)
    with hold(target):
        refuse_occupied(target, reuse=True)
        try:
            jobs = []
            for number, words in enumerate(runs):
                try:
                    composition = anchored(composer.compose(words))
                except (HydraException, OmegaConfBaseException) as error:
                    raise explain(error, words) from error
                jobs.append(Job(number, tuple(words), composition, target / str(number)))
            config = jobs[0].config
            metric, show = config["sweep"]["metric"], config["logging"]["progress"]
            outcome = train_sweep(target, jobs, most=batch, metric=metric, reuse=True, show=show)
        except UserError:
            if is_claimed:
                discard(target)
            raise
        hydra_config = {"hydra": {"overrides": {"task": launch}}}  # as Hydra writes it
        SweepFolder(target).write_hydra_config(dump(hydra_config))
        summary = conclude(target, outcome, metric)
    return SweepResult(
        folder=target,
        runs=summary.rows,
        configurations=summary.configurations,
        differences=summary.differences,
        interrupted=outcome.interrupted,
        text=summary.text,
    )


def _experiment_sweep(overrides: Sequence[str]) -> list[str]:
    """Return the keys that an experiment sweeps, as ``KEY=VALUES``."""
    chosen = [text for text in overrides if text.lstrip("+").startswith("experiment=")]
    if not chosen:
        return []
    try:
        config = compose_config(chosen, hydra=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, overrides) from error
    return [f"{key}={values}" for key, values in (config.hydra.sweeper.params or {}).items()]


def _named_folder(overrides: Sequence[str]) -> Path | None:
    """Return the folder of the last override ``sweep.dir=``, or None."""
    matches = [text for text in overrides if text.startswith("sweep.dir=")]
    return named_folder(matches[-1]) if matches else None


def composed(overrides: Sequence[str], several: str = "give them to gdframe.sweep") -> DictConfig:
    """Compose and check the config of overrides.

    Args:
        overrides: as on the command line.
        several: what to do about several values for a key.

    Raises:
        UserError: an override cannot be used.
    """
    plugins = _prepare(overrides)
    try:
        config = compose_config(overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, overrides, several) from error
    config.plugins = [escaped(plugin) for plugin in plugins]
    check(plain(resolve(config)))
    anchor(config)
    return config


def _prepare(overrides: Sequence[str]) -> list[str]:
    """Load the plugins that overrides name; return their absolute paths."""
    check_texts(overrides)
    refuse_unheard(overrides)
    plugins = load_named(named_plugins(overrides))
    register_nodes()
    refuse_choices(overrides)
    register_resolver()
    return plugins
