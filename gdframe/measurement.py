"""What is measured at the end of an epoch, and what of it is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from gdframe.engines.base import Engine, Trace


class Measurement:
    """Measures an engine's first run over all training and validation rows.

    Args:
        engine: which knows the run's objective, and how to evaluate it.
        lr: learning rate before any schedule.
    """

    def __init__(self, engine: Engine, lr: float) -> None:
        self.engine, self.lr = engine, lr
        self.loader, self.clock = engine.loader, engine.clock
        self.schedule = engine.runs[0].schedule

    def row(self, step: int, seconds: float, *, whole: bool = True) -> dict[str, float]:
        """Return a row of the history, measured at the current parameters.

        Args:
            step: updates done.
            seconds: spent training.
            whole: whether metrics that cost more than the engine's steps are wanted too.
        """
        (train,) = self.engine.evaluate("train", whole=whole)
        factor = self.schedule(np.array([max(step - 1, 0)]), self.clock)[0]
        row: dict[str, float] = {
            "epoch": step // self.clock.steps_per_epoch,
            "step": step,
            "samples": self.loader.samples(step),
            "seconds": seconds,
            "lr": self.lr * float(factor),
            "objective": train.objective,
            "train_loss": train.loss,
            "gradient_norm": train.gradient_norm,
        }
        row |= {f"gradient_norm/{name}": norm for name, norm in train.gradient_norms.items()}
        row |= {f"train/{name}": value for name, value in train.metrics.items()}
        if self.engine.rows["validation"] is not None:
            (held,) = self.engine.evaluate("validation", whole=whole)
            row["validation_loss"] = held.loss
            row |= {f"validation/{name}": value for name, value in held.metrics.items()}
        return row


def not_finite(row: Mapping[str, float]) -> tuple[str, float] | None:
    """Return what a run cannot go on from, in words, and its value; None if all is well."""
    for name, words in (("objective", "objective"), ("gradient_norm", "gradient norm")):
        if not math.isfinite(row[name]):
            return words, row[name]
    return None


def finite_steps(trace: Trace) -> int:
    """Return how many steps of a trace of one run come before the first that is not finite."""
    loss, norm = trace.loss[0], trace.gradient_norm[0]
    # a sum of finite numbers is finite, but for overflow, which the full test clears up
    if np.isfinite(loss.sum(dtype=np.float64) + norm.sum(dtype=np.float64)):
        return len(loss)
    bad = ~(np.isfinite(loss) & np.isfinite(norm))
    return int(bad.argmax()) if bad.any() else len(bad)
