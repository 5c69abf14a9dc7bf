"""Evaluation of runs at the end of an epoch: one row of the history for each run."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gdframe.engines.base import Engine, Part
from gdframe.engines.units import row_in_units
from gdframe.objective import Evaluation
from gdframe.registry import is_built_in
from gdframe.schedules.base import factors_of


class Evaluator:
    """Evaluates an engine's runs over all training and validation rows.

    An evaluation is kept until the parameters change.

    Args:
        engine: holds the runs' parameters, and evaluates all of them at once.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._evaluations: dict[tuple[Part, bool], list[Evaluation]] = {}

    def reset(self) -> None:
        """Forget all evaluations, because parameters have changed."""
        self._evaluations.clear()

    def row(self, run: int, step: int, seconds: float, *, whole: bool = True) -> dict[str, float]:
        """Return a row of a run's history, evaluated at its current parameters.

        Args:
            run: its index in the engine.
            step: its updates done.
            seconds: its training time so far.
            whole: whether to compute all metrics; if not, the engine may leave out those that cost
                more than its steps.
        """
        engine = self.engine
        train = self._evaluate("train", whole)[run]
        schedule, optimizer = engine.runs[run].schedule, engine.runs[run].optimizer
        last = max(step - 1, 0)
        factor = factors_of([schedule], last, last + 1, engine.clock)[0].item()
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
            validation = self._evaluate("validation", whole)[run]
            row["validation_loss"] = validation.loss
            row |= {f"validation/{name}": value for name, value in validation.metrics.items()}
        problem = engine.runs[run]
        return row_in_units(row, problem, engine.data)

    def _evaluate(self, part: Part, whole: bool) -> list[Evaluation]:
        whole = whole or self.engine.measures_all
        for key in ((part, True), (part, whole)):
            if key in self._evaluations:
                return self._evaluations[key]
        for index, run in enumerate(self.engine.runs):
            if index not in self.engine.retired and not all(
                map(is_built_in, (run.metrics or {}).values())
            ):
                self.engine.copy_to_module(index)  # the metrics may read the module
        self._evaluations[part, whole] = self.engine.evaluate(part, whole=whole)
        return self._evaluations[part, whole]


def first_not_finite(row: Mapping[str, float]) -> tuple[str, float] | None:
    """Return the name and value of what a run cannot continue from; None if all is finite."""
    for column, words in (("objective", "objective"), ("gradient_norm", "gradient norm")):
        if not math.isfinite(row[column]):
            return words, row[column]
    return None
