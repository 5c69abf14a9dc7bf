"""Diagnostics of one run: curvature every few epochs, stability, and why the run ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.data.dataset import Dataset, Rows
from gdframe.diagnostics.base import Diagnosis
from gdframe.diagnostics.explain import (
    FLAT,
    explain_divergence,
    explain_limit,
    explain_point,
    explain_standstill,
    is_stationary,
)
from gdframe.diagnostics.lanczos import Extremes
from gdframe.diagnostics.least_squares import LeastSquares, least_squares
from gdframe.diagnostics.linear_rule import LinearRule
from gdframe.diagnostics.spectrum import ROUGH, largest_at_start, spectrum_at
from gdframe.diagnostics.stability import Stability, stability_of
from gdframe.diagnostics.theory import Theory, measured_rate, theory_of
from gdframe.engines.base import Problem
from gdframe.engines.row_order import takes_all_rows
from gdframe.errors import UserError, bad_value
from gdframe.loaders.base import Loader
from gdframe.models.function import Function
from gdframe.models.plain import is_linear_in_parameters
from gdframe.penalties.none import NoPenalty
from gdframe.registry import is_built_in
from gdframe.runs.history import History
from gdframe.schedules.constant import Constant
from gdframe.stopping import Status, Verdict

CHEAP = 5_000
"""Most parameters of a model whose curvature is measured with ``curvature=False``."""

LOWERED = 0.5
"""Share of its largest learning rate below which a schedule counts as having lowered it."""


class Diagnostics(Diagnosis):
    """Measures curvature and explains why a run ended.

    Args:
        curvature: whether to measure the largest eigenvalue of the Hessian during training.
        every: epochs between two measurements, at least 1.
        rows: most training rows of a measurement, evenly spaced; at least 1.
        smallest: whether to measure the smallest eigenvalue too.
        theory: whether to compute the minimum of least squares and of regularised logistic
            regression, and the gap to it after each epoch.
        evidence: whether to measure the curvature where that is cheap, even if ``curvature`` is
            off: for least squares, for other linear models at their start, and for functions.
        tolerance: largest relative improvement of an epoch that counts as no improvement.

    Raises:
        UserError: a value is out of its range.

    Example:
        >>> import gdframe as gd
        >>> model = gd.Quadratic(condition_number=10.0)
        >>> trainer = gd.Trainer(model, None, gd.GD(model.parameters(), lr=0.5), gd.FullBatch(1),
        ...                      gd.Dataset.none(), diagnosis=gd.Diagnostics())
        >>> print(trainer.fit().reason.split("; ", 1)[1])
        learning rate 0.5 is 2.5 times the stability limit 0.2 (2 / lambda_max); try 0.1
    """

    def __init__(
        self,
        *,
        curvature: bool = False,
        every: int = 1,
        rows: int = 1000,
        smallest: bool = False,
        theory: bool = False,
        evidence: bool = True,
        tolerance: float = 2e-7,
    ) -> None:
        for name, value in (("every", every), ("rows", rows)):
            if value < 1:
                raise bad_value(f"{name}={value}", "a whole number of at least 1")
        self.curvature, self.every, self.most_rows = curvature, every, rows
        self.smallest, self.tolerance = smallest, tolerance
        self._wants_theory = theory
        self.theory: Theory | None = None
        self._measured_rate: float | None = None
        self.evidence = evidence
        self.quadratic: LeastSquares | None = None
        self._is_checked = False
        self._vector: NDArray[np.float64] | None = None
        self._largest: float | None = None
        self._smallest: float | None = None

    def begin(self, run: Problem, data: Dataset, loader: Loader) -> None:
        """Compute what is cheap to know about the objective.

        Raises:
            UserError: the objective has no curvature, or theory has no result for it.
        """
        self._objective, self._loader = run.objective, loader
        parts = (run.objective.model, run.objective.loss, run.objective.penalty)
        # built-in components have tested derivatives
        self._is_checked = all(p is None or is_built_in(p) for p in parts)
        loss = run.objective.loss
        if self.curvature and loss is not None and not loss.curved:
            raise UserError(
                f"diagnostics.curvature=true: the second derivative of {loss.name} is zero, so "
                "its curvature says nothing about stability; set it to false, or use a smooth "
                "loss such as huber or squared_hinge"
            )
        self._rule = LinearRule.of(run)
        self._is_lr_constant = isinstance(run.schedule, Constant)
        self._data = data
        self._is_full_batch = takes_all_rows(loader)
        stride = -(-data.rows // self.most_rows)
        sample = Rows(data.train.features[::stride], data.train.targets[::stride])
        self._rows = run.objective.encode(sample)
        self._names = [n for n, p in run.objective.model.named_parameters() if p.requires_grad]
        self.theory = theory_of(run.objective, data) if self._wants_theory else None
        if self._wants_theory and self.theory is None:
            raise UserError(
                "diagnostics.theory=true: the minimum of this objective is not known; set it to "
                "false, or use least squares (model=linear or polynomial, loss=mse, penalty=none "
                "or l2) or logistic regression (loss=binary_cross_entropy, penalty=l2) on "
                "smaller data"
            )
        if not (self.evidence or self.curvature):
            return
        self.quadratic = least_squares(run.objective, data)
        if self.quadratic is not None:
            self._largest, self._smallest = self.quadratic.largest, self.quadratic.smallest
        elif self._is_cheap() and not self.curvature:
            self._largest = largest_at_start(
                self._objective, data, self.most_rows, partial(self._spectrum, tolerance=ROUGH)
            )

    def columns(
        self, row: Mapping[str, float], parameters: Mapping[str, Tensor]
    ) -> dict[str, float]:
        """Return the curvature, the learning rate times it, and the stability limit of that.

        Values are NaN in epochs without a measurement, and where the limit is not known. With
        theory, the gap to the minimum is a column too.
        """
        epoch, lr = int(row["epoch"]), row["lr"]
        columns = self._curvatures(epoch, lr, parameters) if self.curvature else {}
        if self.theory is not None:
            columns["theory/gap"] = row["objective"] - self.theory.minimum
        return columns

    def _curvatures(
        self, epoch: int, lr: float, parameters: Mapping[str, Tensor]
    ) -> dict[str, float]:
        if epoch % self.every == 0 and self.quadratic is None:
            spectrum = self._spectrum(parameters, start=self._vector, smallest=self.smallest)
            self._vector = spectrum.vector
            if spectrum.low_vector is not None:
                self._vector = spectrum.vector + spectrum.low_vector
            self._largest, self._smallest = spectrum.largest, spectrum.smallest
        is_due = epoch % self.every == 0
        largest = self._largest if is_due and self._largest is not None else math.nan
        row = {
            "curvature/lambda_max": largest,
            "curvature/lr_times_lambda_max": lr * largest,
            "curvature/stability_limit": self._product if is_due else math.nan,
        }
        if self.smallest:
            smallest = self._smallest if is_due and self._smallest is not None else math.nan
            row["curvature/lambda_min"] = smallest
        return row

    @property
    def _product(self) -> float:
        product = math.nan if self._rule is None else self._rule.limit * self._rule.lr
        return product if math.isfinite(product) else math.nan

    @property
    def stability(self) -> Stability | None:
        """Limits of the learning rate by the last measured curvature; None if unknown."""
        return stability_of(
            self._rule,
            self._largest,
            quadratic=self.quadratic,
            batch_size=self._loader.batch_size,
            is_sampled=not self._is_full_batch,
        )

    def explain(
        self, verdict: Verdict, history: History, parameters: Mapping[str, Tensor]
    ) -> Verdict:
        """Return the verdict with advice on the learning rate, the gap and the end point."""
        if self.theory is not None and self._is_full_batch and verdict.status != Status.DIVERGED:
            self._measured_rate = measured_rate(history["objective"], self.theory.minimum)
        if verdict.restores_best:
            return verdict  # the measurements belong to the last point, not to the restored one
        if verdict.status == Status.DIVERGED:
            return explain_divergence(verdict, self.stability, is_at_start=not self.curvature)
        at_end = isinstance(self._objective.model, Function) and self._is_cheap()
        if at_end and (self.evidence or self.curvature):
            spectrum = self._spectrum(parameters, smallest=True)
            self._largest, self._smallest = spectrum.largest, spectrum.smallest
        minimum = None if self.quadratic is None else self.quadratic.minimum
        if self._is_at_no_minimum(verdict, history, parameters):
            return self._explain_point(verdict, history, parameters)
        if verdict.status in (Status.MAX_EPOCHS, Status.TIME_LIMIT):
            return explain_limit(
                verdict,
                history["objective"],
                self.stability,
                self.tolerance,
                minimum,
                self._epochs_to_go(parameters),
            )
        if verdict.status == Status.CONVERGED:
            verdict = explain_standstill(
                verdict,
                history["objective"],
                self.stability,
                minimum,
                is_sampled=not self._is_full_batch,
                is_lr_lowered=bool(history["lr"][-1] < LOWERED * history["lr"].max()),
            )
            if self.quadratic is None and not verdict.advice:
                return self._explain_point(verdict, history, parameters)
        return verdict

    def _is_at_no_minimum(
        self, verdict: Verdict, history: History, parameters: Mapping[str, Tensor]
    ) -> bool:
        """Return whether a run ended at a stationary point with negative curvature."""
        if self.quadratic is not None or self._smallest is None or self._largest is None:
            return False
        if self._smallest >= -FLAT * max(abs(self._smallest), abs(self._largest)):
            return False
        is_function = isinstance(self._objective.model, Function)
        if verdict.status != Status.CONVERGED and not is_function:
            return False  # the last measurement may belong to an earlier point
        return self._is_stationary(history, parameters)

    def _is_stationary(self, history: History, parameters: Mapping[str, Tensor]) -> bool:
        """Return whether a run ended at a stationary point, by the smallest curvature."""
        assert self._smallest is not None
        point = np.concatenate([parameters[n].double().cpu().numpy().ravel() for n in self._names])
        return is_stationary(float(history["gradient_norm"][-1]), self._smallest, point)

    def _explain_point(
        self, verdict: Verdict, history: History, parameters: Mapping[str, Tensor]
    ) -> Verdict:
        if self._smallest is None or self._largest is None:
            return verdict
        if not self._is_stationary(history, parameters):
            return verdict
        return explain_point(verdict, self._smallest, self._largest, self._gap_to_global(history))

    def _epochs_to_go(self, parameters: Mapping[str, Tensor]) -> float | None:
        """Return the epochs still needed on least squares with full batches; None if unknown."""
        is_exact = self.quadratic is not None and self._is_full_batch and self._is_lr_constant
        if not is_exact or self._rule is None:
            return None
        assert self.quadratic is not None
        parts = [parameters[name].double().cpu().numpy() for name in self._names]
        point = np.column_stack([parts[0], *(part[:, None] for part in parts[1:])])
        factors = self._rule.radii(self.quadratic.eigenvalues) ** 2
        return self.quadratic.epochs_to_go(point, factors, self.tolerance)

    @torch.no_grad()
    def _gap_to_global(self, history: History) -> float | None:
        """Return the gap of a function to its lowest known minimum; None if none is known."""
        model = self._objective.model
        if not isinstance(model, Function) or not isinstance(self._objective.penalty, NoPenalty):
            return None
        like = model.x
        points = [torch.tensor(p, dtype=like.dtype, device=like.device) for p in model.minima()]
        if not points:
            return None
        lowest = min(float(model.value(point)) for point in points)
        return float(history["objective"][-1]) - lowest

    def facts(self) -> dict[str, Any]:
        """Return curvature, stability limits, minimum, condition number and rates, if known."""
        facts: dict[str, Any] = {}
        if self._largest is not None:
            facts["lambda_max"] = self._largest
        if self._smallest is not None:
            facts["lambda_min"] = self._smallest
        if (stability := self.stability) is not None:
            facts["stability_limit"] = stability.limit
            if stability.noisy is not None:
                facts["noisy_limit"] = stability.noisy
            elif stability.is_sampled:  # the limit at smaller batches is lower, but not known
                facts["limit_of_full_batches"] = True
        if (known := self.theory or self.quadratic) is not None:
            facts["minimum"] = known.minimum
            facts["condition_number"] = known.condition_number
        if self.theory is not None:
            if self._rule is not None and self._is_full_batch:
                facts["predicted_rate"] = self.theory.rate(self._rule)
            if self._measured_rate is not None:
                facts["measured_rate"] = self._measured_rate
        return facts

    def state(self) -> dict[str, Tensor]:
        """Return the last eigenvalues, and the vector that the next measurement starts from."""
        values = {"largest": self._largest, "smallest": self._smallest}
        state = {
            n: torch.tensor(v, dtype=torch.float64) for n, v in values.items() if v is not None
        }
        if self._vector is not None:
            state["vector"] = torch.from_numpy(self._vector.copy())
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore the tensors that ``state`` returned."""
        self._vector = state["vector"].numpy().copy() if "vector" in state else None
        self._largest = float(state["largest"]) if "largest" in state else None
        self._smallest = float(state["smallest"]) if "smallest" in state else None

    def _is_cheap(self) -> bool:
        model, loss = self._objective.model, self._objective.loss
        if loss is not None and not loss.curved:
            return False
        size = sum(p.numel() for p in model.parameters())
        return (is_linear_in_parameters(model) or isinstance(model, Function)) and size <= CHEAP

    def _spectrum(self, parameters: Mapping[str, Tensor], **settings: Any) -> Extremes:
        """Return the extreme eigenvalues of the Hessian at some parameters."""
        trained = {name: parameters[name] for name in self._names}
        spectrum = spectrum_at(
            self._objective, trained, self._rows, check=not self._is_checked, **settings
        )
        self._is_checked = True
        return spectrum
