"""The choice between CPU and GPU, from estimates of an engine's time on each."""

from __future__ import annotations

from gdframe.data.dataset import Dataset
from gdframe.engines.base import Engine, Estimate, Problem
from gdframe.engines.expansion import why_not_quadratic
from gdframe.engines.row_order import takes_all_rows
from gdframe.loaders.base import Loader
from gdframe.registry import ENGINES

GPU_STEP_SECONDS, GPU_WORK_SECONDS = 1.2e-3, 0.1e-12
"""Seconds on a GPU for a step, whose operations start one by one, and a value times a row.

Measured with networks of two hidden layers on an NVIDIA H100 (PyTorch 2.11).
"""

GPU_GRAM_SECONDS, GPU_PASS_SECONDS = 150e-6, 0.1e-12
"""Seconds on a GPU for a step from XᵀX, and for a product while XᵀX is built."""


def gpu_is_faster(
    run: Problem, data: Dataset, loader: Loader, *, epochs: int, engine: str = "auto"
) -> bool:
    """Return whether a GPU should finish a run sooner than the fastest engine on the CPU.

    Args:
        run: built on the CPU.
        data: on the CPU.
        loader: which rows each step sees.
        epochs: the limit on epochs.
        engine: the engine's name; ``auto`` for any.
    """
    steps = epochs * loader.steps_per_epoch
    names = [engine] if engine != "auto" else list(ENGINES)
    seconds = []
    for name in names:
        kind = ENGINES.get(name)
        if not (isinstance(kind, type) and issubclass(kind, Engine)):
            continue
        if name == engine and not kind.runs_on_gpu:
            return False  # a reason against the CPU is raised later
        if kind.why_not([run], data, loader) is None:
            seconds.append(_total(kind.estimate([run], data, loader), steps))
    return not seconds or _total(on_gpu(run, data, loader), steps) < min(seconds)


def on_gpu(run: Problem, data: Dataset, loader: Loader) -> Estimate:
    """Return a rough estimate of a run's time on a GPU, for choosing a device only."""
    columns = sum(p.numel() for p in run.objective.model.parameters())
    if takes_all_rows(loader) and why_not_quadratic(run.objective) is None:
        return Estimate(GPU_PASS_SECONDS * data.rows * columns**2, GPU_GRAM_SECONDS)
    work = loader.batch_size * max(1, columns)
    return Estimate(0.0, GPU_STEP_SECONDS + GPU_WORK_SECONDS * work)


def _total(estimate: Estimate, steps: int) -> float:
    return estimate.setup + steps * estimate.step
