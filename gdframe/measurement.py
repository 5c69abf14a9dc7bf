"""What is measured at the end of an epoch, and what of it is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gdframe.engines.base import Engine, Part, Trace
from gdframe.objective import Evaluation


class Measurement:
    """Measures an engine's runs over all training and validation rows, once between two updates.

    Args:
        engine: which knows the runs' objectives, and how to evaluate them all at once.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._found: dict[tuple[Part, bool], list[Evaluation]] = {}

    def forget(self) -> None:
        """Measure anew: parameters have changed."""
        self._found.clear()

    def row(self, run: int, step: int, seconds: float, *, whole: bool = True) -> dict[str, float]:
        """Return a row of a run's history, measured at its current parameters.

        Args:
            run: which.
            step: its updates done.
            seconds: it spent training.
            whole: whether metrics that cost more than the engine's steps are wanted too.
        """
        engine = self.engine
        train = self._evaluations("train", whole)[run]
        schedule, optimizer = engine.runs[run].schedule, engine.runs[run].optimizer
        factor = schedule(np.array([max(step - 1, 0)]), engine.clock)[0]
        row: dict[str, float] = {
            "epoch": step // engine.clock.steps_per_epoch,
            "step": step,
            "samples": engine.loader.samples(step),
            "seconds": seconds,
            "lr": float(optimizer.param_groups[0]["lr"]) * float(factor),
            "objective": train.objective,
            "train_loss": train.loss,
            "gradient_norm": train.gradient_norm,
        }
        row |= {f"gradient_norm/{name}": norm for name, norm in train.gradient_norms.items()}
        row |= {f"train/{name}": value for name, value in train.metrics.items()}
        if engine.rows["validation"] is not None:
            held = self._evaluations("validation", whole)[run]
            row["validation_loss"] = held.loss
            row |= {f"validation/{name}": value for name, value in held.metrics.items()}
        return row

    def _evaluations(self, part: Part, whole: bool) -> list[Evaluation]:
        whole = whole or self.engine.measures_all
        for key in ((part, True), (part, whole)):
            if key in self._found:
                return self._found[key]
        self._found[part, whole] = self.engine.evaluate(part, whole=whole)
        return self._found[part, whole]


def not_finite(row: Mapping[str, float]) -> tuple[str, float] | None:
    """Return what a run cannot go on from, in words, and its value; None if all is well."""
    for name, words in (("objective", "objective"), ("gradient_norm", "gradient norm")):
        if not math.isfinite(row[name]):
            return words, row[name]
    return None


def finite_steps(trace: Trace) -> NDArray[np.int64]:
    """Return how many steps of each run come before the first that is not finite, (runs,)."""
    steps = trace.loss.shape[1]
    # a sum of finite numbers is finite, but for overflow, which the full test clears up
    sums = trace.loss.sum(1, dtype=np.float64) + trace.gradient_norm.sum(1, dtype=np.float64)
    found = np.full(len(sums), steps)
    for run in np.flatnonzero(~np.isfinite(sums)):
        bad = ~(np.isfinite(trace.loss[run]) & np.isfinite(trace.gradient_norm[run]))
        found[run] = bad.argmax() if bad.any() else steps
    return found
