"""gdframe's plugins for Hydra: a launcher that trains runs together, and its sweeper.

Hydra accepts plugins only from a package called ``hydra_plugins``. gdframe's application adds the
folder of this package to ``sys.path`` when it starts, so that no other application sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class BatchLauncher(Launcher):
    """Trains the runs of a sweep in this process, in run groups.

    Args:
        batch: most runs of a run group; by default as many as fit in memory.
    """

    def __init__(self, batch: int | None = None) -> None:
        self.batch = batch

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Store Hydra's context, the task and the config."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Train all runs; return the metric of each as Hydra's result."""
        from gdframe.sweeps.executing.hydra_launch import launch

        return launch(self, job_overrides, initial_job_idx)


class CombinationSweeper(BasicSweeper):
    """Sweeps every combination of values; other launchers than gdframe's receive run groups.

    Args:
        max_batch_size: most runs that the launcher receives at a time.
        params: overrides from the config.
        batch: most runs that a worker of another launcher trains together.
    """

    def __init__(
        self,
        max_batch_size: int | None = None,
        params: dict[str, str] | None = None,
        batch: int | None = None,
    ) -> None:
        super().__init__(max_batch_size, params)
        self.batch = batch

    @staticmethod
    def split_arguments(
        overrides: list[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        """Return the overrides of each run, in batches of at most ``max_batch_size``."""
        from gdframe.config.overrides import check_sweep

        check_sweep(overrides)
        return BasicSweeper.split_arguments(overrides, max_batch_size)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Check nothing: the launchers compose all configs before they train the first run."""


class _Packing:
    """Wraps another launcher, which receives run groups instead of runs."""

    def __init__(
        self, launcher: Any, batch: int | None, hydra_context: HydraContext, config: DictConfig
    ) -> None:
        self.launcher, self.batch = launcher, batch
        self.hydra_context, self.config = hydra_context, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from gdframe.sweeps.executing.hydra_launch import launch_packed

        return launch_packed(self, job_overrides, initial_job_idx)


def with_groups(
    launcher: Launcher, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
) -> Any:
    """Return a launcher that trains run groups: gdframe's launcher, or a wrapper of another one.

    The launcher of Hydra's basic sweeper, which trains run after run, stays unchanged.
    """
    sweeper = config.hydra.sweeper
    if isinstance(launcher, BatchLauncher) or sweeper._target_.endswith(".BasicSweeper"):
        return launcher
    return _Packing(launcher, sweeper.get("batch"), hydra_context, config)


__all__ = ["BatchLauncher", "CombinationSweeper", "with_groups"]
