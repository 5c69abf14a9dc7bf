"""A run that has ended, and what is known about it from elsewhere."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

import gdframe as gd
from gdframe.api import composed
from gdframe.config.build import build
from gdframe.config.values import plain
from gdframe.registry import LOSSES
from gdframe.runs.result_table import table

from .problems import QUIET, Case
from .reference import PRODUCT, LinearProblem, differences, newton_length


class Trained:
    """A run that has ended, and what is known about it from elsewhere."""

    def __init__(self, case: Case, folder: Path):
        self.case, self.folder = case, folder
        self.result = self.train(case)
        self.settings = case.settings
        self.history = self.result.history.epochs
        self.status = str(self.result.status)
        self.is_full = self.settings.get("variant", "batch") == "batch" or self.is_function
        self.rule = str(self.settings["optimizer"])

    def train(self, case):
        number = len(list(self.folder.glob("run*")))
        return gd.train(*case.words, *QUIET, folder=self.folder / f"run{number}")

    @property
    def is_function(self):
        return self.result.loss is None

    @property
    def sentences(self):
        lines = table(self.result).splitlines()
        text = [line.split(maxsplit=1)[1] for line in lines if line.startswith("curvature")]
        return [*self.result.reason.split("; "), *(f"curvature: {line}" for line in text)]

    @cached_property
    def spec(self):
        return build(plain(composed(self.case.words, "")))

    @cached_property
    def linear(self) -> LinearProblem | None:
        """The run as a linear problem; None for other models."""
        if self.is_function or self.result.model != "linear":
            return None
        data, loss = self.spec.data, LOSSES.name_of(self.spec.loss)
        rows = self.spec.objective.encode(data.train)
        x = rows.features.double().numpy()
        y = rows.targets.numpy()
        y = y if y.ndim == 1 else y[:, 0].astype(float) * self.scale
        penalty = str(self.settings.get("penalty", "none"))
        strength = float(self.settings.get("penalty.strength", 0.0))
        x = np.column_stack([x, np.ones(len(x))])
        return LinearProblem(x, y, loss, self.spec.model.weight.shape[0], (penalty, strength))

    @property
    def scale(self) -> float:
        """What targets are divided by for training; what is said is in their own units."""
        return float(self.spec.data.encoding.target_scale)

    @cached_property
    def end(self):
        """Flat parameters at the end, in the units of the target."""
        w, b = self.result.module.weight, self.result.module.bias
        ends = [w.detach().double().numpy(), b.detach().double().numpy()]
        return np.column_stack(ends).ravel() * self.scale

    @cached_property
    def gap(self):
        """Objective at the end above the minimum, and the mean predictor's loss."""
        if self.linear is None or self.linear.minimum is None:
            return None
        return self.linear.value(self.end) - self.linear.minimum, abs(self.linear.baseline)

    @cached_property
    def newton(self):
        """Length of the Newton step of a function in units of one plus the norm of the point."""
        x = np.asarray(self.result.point)
        gradient, hessian = differences(self.result.model, x, self.function)
        return newton_length(gradient, hessian) / (1 + np.linalg.norm(x)), hessian

    @cached_property
    def hessian_at_start(self):
        """The Hessian of a function at its starting point."""
        x = self.spec.model.x.detach().double().numpy()
        return differences(self.result.model, x, self.function)[1]

    @property
    def function(self):
        return {"condition_number": float(self.settings.get("model.condition_number", 10.0))}

    @property
    def is_near(self) -> bool | None:
        """Tell whether the end is near a stationary point; None if that is not known."""
        if self.is_function:
            return self.newton[0] <= 1e-2
        if self.gap is not None:
            return self.gap[0] <= 0.01 * self.gap[1] + 1e-300
        return None

    @cached_property
    def limits(self):
        """The limit of full batches and that of the run's batches at the start; None if unknown."""
        if self.rule not in PRODUCT:
            return None, None
        if self.is_function:
            values = np.linalg.eigvalsh(self.newton[1])
            return PRODUCT[self.rule] / values[-1], None
        if self.linear is None or self.linear.loss in ("mae", "hinge"):
            return None, None
        start = np.zeros(self.end.size)
        curvature = self.linear.largest_curvature(start)
        full = PRODUCT[self.rule] / curvature if curvature > 0 else None
        is_small = self.linear.x.shape[1] <= (11 if self.rule == "gd" else 6)
        if self.linear.loss != "mse" or self.linear.l1 or self.is_full or not is_small:
            return full, None
        return full, self.linear.noisy_limit(self.rule, self.spec.loader.batch_size)

    def improves(self, lr: float) -> bool:
        """Tell whether a learning rate ends lower than the run did, and lower than it started."""
        other = self.train(self.case.but(lr=lr))
        start = float(self.history["objective"][0])
        end = self.result.objective if self.status != "diverged" else np.inf
        return other.status != "diverged" and other.objective < min(start, end) + 1e-12 * abs(start)


def part_accuracy(run: Trained, part: str) -> float:
    """Return the accuracy minus the share of the most frequent class."""
    accuracy = run.result.metrics[part].get("accuracy")
    if accuracy is None:
        return 0.0
    rows = getattr(run.spec.data, part)
    return accuracy - np.bincount(rows.targets.numpy().ravel().astype(int)).max() / len(rows)
