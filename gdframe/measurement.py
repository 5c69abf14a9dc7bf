"""What is measured at the end of an epoch, and what of it is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from gdframe.data.dataset import Dataset
from gdframe.engines.base import Run, Trace
from gdframe.loaders.base import Loader
from gdframe.objective import Objective
from gdframe.schedules.base import Clock


class Measurement:
    """Measures a run over all training and validation rows.

    Args:
        run: whose objective is measured.
        data: the rows.
        loader: tells how many rows its updates have seen.
        clock: how steps relate to epochs.
        lr: learning rate before any schedule.
    """

    def __init__(self, run: Run, data: Dataset, loader: Loader, clock: Clock, lr: float) -> None:
        self.objective: Objective = run.objective
        self.schedule, self.lr = run.schedule, lr
        self.data, self.loader, self.clock = data, loader, clock
        self._train = self.objective.encode(data.train)
        self._validation = data.validation and self.objective.encode(data.validation)

    def row(self, step: int, seconds: float) -> dict[str, float]:
        """Return a row of the history, measured at the current parameters.

        Args:
            step: updates done.
            seconds: spent training.
        """
        train = self.objective.evaluate(self._train, self.data, gradient=True)
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
        if self._validation is not None:
            held = self.objective.evaluate(self._validation, self.data, gradient=False)
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
    bad = ~(np.isfinite(trace.loss[0]) & np.isfinite(trace.gradient_norm[0]))
    return int(bad.argmax()) if bad.any() else len(bad)
