"""Looks into one run: its curvature every few epochs, its stability, how it ended and why."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
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
from gdframe.diagnostics.hessian import Hessian
from gdframe.diagnostics.lanczos import Extremes, extremes
from gdframe.diagnostics.least_squares import LeastSquares, least_squares
from gdframe.diagnostics.linear_rule import LinearRule
from gdframe.diagnostics.stability import Stability, stability_of
from gdframe.diagnostics.theory import Theory, measured_rate, theory_of
from gdframe.engines.base import Problem
from gdframe.errors import UserError
from gdframe.hidden_state import undisturbed
from gdframe.loaders.base import Loader
from gdframe.models.function import Function
from gdframe.models.plain import is_linear_in_parameters
from gdframe.penalties.none import NoPenalty
from gdframe.runs.history import History
from gdframe.schedules.constant import Constant
from gdframe.stopping import Status, Verdict

SMALL = 20_000
"""Most parameters for which products are computed in float64, to a part in a million."""

CHEAP = 5_000
"""Most parameters of a linear model whose curvature is measured without being asked for."""

TOLERANCE, ROUGH = 1e-6, 1e-3
"""Residuals of eigenvalues, relative: of small problems, and of others in the run's own type."""


FALLEN = 0.5
"""Share of its largest learning rate below which a schedule has lowered it."""

MOST_STARTS = 256
"""Starts whose curvature is remembered."""

_starts: dict[Any, tuple[weakref.ref[Tensor], float]] = {}


class Diagnostics(Diagnosis):
    """Measures curvature, and explains how a run ended.

    Args:
        curvature: whether the largest eigenvalue of the Hessian is measured on the way.
        every: epochs between two measurements, at least 1.
        rows: most training rows they are on, evenly spaced; at least 1.
        smallest: whether the smallest eigenvalue is measured too.
        theory: whether the minimum of least squares and of regularised logistic regression is
            found, and how far each epoch is from it.
        evidence: whether what is cheap to know (the curvature of least squares, of other linear
            models where they start, and of functions without data) is found also where
            ``curvature`` is off.
        tolerance: relative improvement of an epoch that counts as none.

    Raises:
        UserError: a value out of its range.

    Example:
        >>> import gdframe as gd
        >>> model = gd.Quadratic(condition_number=10.0)
        >>> trainer = gd.Trainer(model, None, gd.GD(model.parameters(), lr=0.5), gd.FullBatch(1),
        ...                      gd.Dataset.none(), diagnosis=gd.Diagnostics())
        >>> print(trainer.fit().reason.split("; ", 1)[1])
        learning rate 0.5 is 2.5 times the stability limit 0.2 (2 / lambda_max); try 0.1 to 0.2
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
                raise UserError(f"diagnostics.{name}={value}: must be at least 1")
        self.curvature, self.every, self.most_rows = curvature, every, rows
        self.smallest, self.tolerance = smallest, tolerance
        self._wants_theory = theory
        self.theory: Theory | None = None
        self._measured: float | None = None
        self.evidence = evidence
        self.quadratic: LeastSquares | None = None
        self._checked = False
        self._vector: NDArray[np.float64] | None = None
        self._largest: float | None = None
        self._smallest: float | None = None

    def begin(self, run: Problem, data: Dataset, loader: Loader) -> None:
        """Find what is cheap to know of the objective.

        Raises:
            UserError: curvature is asked for of an objective that has none to speak of.
        """
        self._objective, self._loader = run.objective, loader
        parts = (run.objective.model, run.objective.loss, run.objective.penalty)
        # the derivatives of gdframe's own components are known to be right
        self._checked = all(p is None or type(p).__module__.startswith("gdframe.") for p in parts)
        loss = run.objective.loss
        if self.curvature and loss is not None and not loss.curved:
            raise UserError(
                f"diagnostics.curvature=true: the second derivative of {loss.name} is zero "
                "wherever there is one, so that curvature says nothing about its stability; leave "
                "it off, or use a smooth loss such as huber or squared_hinge"
            )
        self._rule = LinearRule.of(run)
        self._constant = isinstance(run.schedule, Constant)
        self._data_rows = data.rows
        stride = -(-data.rows // self.most_rows)
        some = Rows(data.train.features[::stride], data.train.targets[::stride])
        self._rows = run.objective.encode(some)
        self._names = [n for n, p in run.objective.model.named_parameters() if p.requires_grad]
        self.theory = theory_of(run.objective, data) if self._wants_theory else None
        if self._wants_theory and self.theory is None:
            raise UserError(
                "diagnostics.theory=true: the minimum is known of least squares (model=linear or "
                "polynomial, loss=mse, penalty=none or l2) and of logistic regression "
                "(loss=binary_cross_entropy) with penalty=l2, on data that are not too large"
            )
        if not (self.evidence or self.curvature):
            return
        self.quadratic = least_squares(run.objective, data)
        if self.quadratic is not None:
            self._largest, self._smallest = self.quadratic.largest, self.quadratic.smallest
        elif self._is_cheap() and not self.curvature:
            self._largest = self._at_start(data)

    def _at_start(self, data: Dataset) -> float:
        """Return the largest curvature where the run starts; of runs that start alike, found once.

        The features are held by no more than a weak reference, which tells them from others that
        come to lie at their place.
        """
        objective = self._objective
        start = {n: p.detach() for n, p in objective.model.named_parameters()}
        parts = (objective.loss, objective.penalty)
        settings = repr([(type(part), vars(part)) for part in parts if part is not None])
        where = b"".join(p.cpu().numpy().tobytes() for p in start.values())
        features = data.train.features
        key = (id(features), type(objective.model), settings, hash(where), self.most_rows)
        found = _starts.get(key)
        if found is None or found[0]() is not features:
            value = self._spectrum(start, tolerance=ROUGH).largest
            while len(_starts) >= MOST_STARTS:
                _starts.pop(next(iter(_starts)), None)
            found = _starts[key] = (weakref.ref(features), value)
        return found[1]

    def columns(
        self, row: Mapping[str, float], parameters: Mapping[str, Tensor]
    ) -> dict[str, float]:
        """Return curvature, the learning rate times that, and the rule's limit of the product.

        NaN in epochs where nothing is measured, and for a limit that is not known. With theory,
        the gap to the minimum too.
        """
        found = self._curvatures(int(row["epoch"]), row["lr"], parameters) if self.curvature else {}
        if self.theory is not None:
            found["theory/gap"] = row["objective"] - self.theory.minimum
        return found

    def _curvatures(
        self, epoch: int, lr: float, parameters: Mapping[str, Tensor]
    ) -> dict[str, float]:
        if epoch % self.every == 0 and self.quadratic is None:
            found = self._spectrum(parameters, start=self._vector, smallest=self.smallest)
            self._vector = found.vector
            if found.low_vector is not None:
                self._vector = found.vector + found.low_vector
            self._largest, self._smallest = found.largest, found.smallest
        due = epoch % self.every == 0
        largest = self._largest if due and self._largest is not None else math.nan
        row = {
            "curvature/lambda_max": largest,
            "curvature/lr_times_lambda_max": lr * largest,
            "curvature/stability_limit": self._product if due else math.nan,
        }
        if self.smallest:
            low = self._smallest if due and self._smallest is not None else math.nan
            row["curvature/lambda_min"] = low
        return row

    @property
    def _product(self) -> float:
        product = math.nan if self._rule is None else self._rule.limit * self._rule.lr
        return product if math.isfinite(product) else math.nan

    @property
    def stability(self) -> Stability | None:
        """Limits of the learning rate, by the curvature that was measured last."""
        return stability_of(
            self._rule,
            self._largest,
            quadratic=self.quadratic,
            batch_size=self._loader.batch_size,
            rows=self._data_rows,
        )

    def explain(
        self, verdict: Verdict, history: History, parameters: Mapping[str, Tensor]
    ) -> Verdict:
        """Say how the run stands to its limits, how far it had to go, what it converged to."""
        if self.theory is not None and self._is_full_batch and verdict.status != Status.DIVERGED:
            self._measured = measured_rate(history["objective"], self.theory.minimum)
        if verdict.status == Status.DIVERGED:
            return explain_divergence(verdict, self.stability)
        at_end = isinstance(self._objective.model, Function) and self._is_cheap()
        if at_end and (self.evidence or self.curvature):
            found = self._spectrum(parameters, smallest=True)
            self._largest, self._smallest = found.largest, found.smallest
        minimum = None if self.quadratic is None else self.quadratic.minimum
        if self._is_at_no_minimum(verdict, history, parameters):
            return self._explain_point(verdict, history)
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
                sampled=not self._is_full_batch,
                fell=bool(history["lr"][-1] < FALLEN * history["lr"].max()),
            )
            if self.quadratic is None and not verdict.advice:
                return self._explain_point(verdict, history)
        return verdict

    def _is_at_no_minimum(
        self, verdict: Verdict, history: History, parameters: Mapping[str, Tensor]
    ) -> bool:
        """Say whether a run stands where the objective curves downwards, and no slope is left."""
        if self.quadratic is not None or self._smallest is None or self._largest is None:
            return False
        if self._smallest >= -FLAT * max(abs(self._smallest), abs(self._largest)):
            return False
        if verdict.status == Status.CONVERGED:
            return True
        if not isinstance(self._objective.model, Function):
            return False  # what was measured last may be of an earlier point
        point = np.concatenate([parameters[n].double().cpu().numpy().ravel() for n in self._names])
        slope = float(history["gradient_norm"][-1])
        return is_stationary(slope, self._smallest, point)

    def _explain_point(self, verdict: Verdict, history: History) -> Verdict:
        if self._smallest is None or self._largest is None:
            return verdict
        return explain_point(verdict, self._smallest, self._largest, self._above_global(history))

    def _epochs_to_go(self, parameters: Mapping[str, Tensor]) -> float | None:
        """Return how many more epochs of full batches descent on least squares takes."""
        exact = self.quadratic is not None and self._is_full_batch and self._constant
        if not exact or self._rule is None:
            return None
        assert self.quadratic is not None
        parts = [parameters[name].double().cpu().numpy() for name in self._names]
        point = np.column_stack([parts[0], *(part[:, None] for part in parts[1:])])
        factors = self._rule.radii(self.quadratic.eigenvalues) ** 2
        return self.quadratic.epochs_to_go(point, factors, self.tolerance)

    @torch.no_grad()
    def _above_global(self, history: History) -> float | None:
        """Return how far a function is above the lowest of its known minima; None without any."""
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
        """Curvature, limit and, of least squares, the minimum and the condition number."""
        found: dict[str, Any] = {}
        if self._largest is not None:
            found["lambda_max"] = self._largest
        if self._smallest is not None:
            found["lambda_min"] = self._smallest
        if (stability := self.stability) is not None:
            found["stability_limit"] = stability.limit
            if stability.noisy is not None:
                found["noisy_limit"] = stability.noisy
            elif stability.sampled:  # smaller batches bear less, and it is not known how much
                found["limit_of_full_batches"] = True
        if self.quadratic is not None:
            found["minimum"] = self.quadratic.minimum
            found["condition_number"] = self.quadratic.condition_number
        if self.theory is not None:
            found["minimum"] = self.theory.minimum
            found["condition_number"] = self.theory.condition_number
            if self._rule is not None and self._is_full_batch:
                found["predicted_rate"] = self.theory.rate(self._rule)
            if self._measured is not None:
                found["measured_rate"] = self._measured
        return found

    @property
    def _is_full_batch(self) -> bool:
        return self._loader.batch_size == self._data_rows

    def state(self) -> dict[str, Tensor]:
        """The vector that the next measurement starts from, and what the last one found."""
        found = {"largest": self._largest, "smallest": self._smallest}
        known = {n: torch.tensor(v, dtype=torch.float64) for n, v in found.items() if v is not None}
        if self._vector is not None:
            known["vector"] = torch.from_numpy(self._vector.copy())
        return known

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from there."""
        self._vector = state["vector"].numpy().copy() if "vector" in state else None
        self._largest = float(state["largest"]) if "largest" in state else None
        self._smallest = float(state["smallest"]) if "smallest" in state else None

    def _is_cheap(self) -> bool:
        model, loss = self._objective.model, self._objective.loss
        if loss is not None and not loss.curved:
            return False
        size = sum(p.numel() for p in model.parameters())
        return (is_linear_in_parameters(model) or isinstance(model, Function)) and size <= CHEAP

    def _spectrum(
        self,
        parameters: Mapping[str, Tensor],
        *,
        start: NDArray[np.float64] | None = None,
        smallest: bool = False,
        tolerance: float | None = None,
    ) -> Extremes:
        trained = {name: parameters[name] for name in self._names}
        size = sum(p.numel() for p in trained.values())
        own = next(iter(trained.values())).dtype
        dtype = torch.float64 if size <= SMALL else own
        if tolerance is None:
            tolerance = TOLERANCE if dtype == torch.float64 else ROUGH
        with undisturbed(model=self._objective.model, loss=self._objective.loss):
            hessian = Hessian(self._objective, trained, self._rows, dtype)
            if not self._checked and dtype == torch.float64:
                hessian.check()
                self._checked = True
            return extremes(hessian, size, start=start, smallest=smallest, tolerance=tolerance)
