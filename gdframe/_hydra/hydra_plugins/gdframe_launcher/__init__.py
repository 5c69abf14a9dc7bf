"""What Hydra finds of gdframe: a launcher that trains a sweep's runs together, and its sweeper.

Hydra accepts plugins only from a package called ``hydra_plugins``; its folder is put on
``sys.path`` when gdframe's application starts, so that no other application sees it.
"""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class BatchLauncher(Launcher):
    """Trains the runs of a sweep in this process, those of one structure as one batch.

    Args:
        batch: most runs trained together; by default what memory holds.
    """

    def __init__(self, batch: int | None = None) -> None:
        self.batch = batch

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra knows."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Train all runs; return what each found."""
        from gdframe.sweeps.hydra import launch

        return launch(self, job_overrides, initial_job_idx)


class CombinationSweeper(BasicSweeper):
    """Hydra's basic sweeper, but runs are checked by the launcher, all at once and fast."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Leave it to the launcher, which composes all configs before it trains the first run."""
        if not isinstance(self.launcher, BatchLauncher):
            from gdframe.sweeps.hydra import check

            check(self, batch)


__all__ = ["BatchLauncher", "CombinationSweeper"]
