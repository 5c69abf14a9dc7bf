"""Diagnostics of one run: curvature every few epochs, stability, and why the run ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.diagnostics.base import Diagnosis
from gdframe.diagnostics.curvature import Curvature
from gdframe.diagnostics.descent_sentences import (
    Evidence,
    explain_divergence,
    gap_to_minimum,
    why_not_further,
)
from gdframe.diagnostics.fit_sentences import fit_sentences, no_finite_minimum, poor_predictions
from gdframe.diagnostics.least_squares import LeastSquares, least_squares, point_of
from gdframe.diagnostics.linear_rule import LinearRule
from gdframe.diagnostics.nearness import NEAR, Nearness, nearness
from gdframe.diagnostics.point import kind_of_point
from gdframe.diagnostics.smaller_rates import SmallerRates
from gdframe.diagnostics.stability import Stability, stability_of
from gdframe.diagnostics.theory import Theory, measured_rate, theory_of
from gdframe.engines.base import Problem
from gdframe.engines.row_order import takes_all_rows
from gdframe.engines.units import objective_unit
from gdframe.errors import UserError, bad_value
from gdframe.loaders.base import Loader
from gdframe.models.function import Function
from gdframe.penalties.none import NoPenalty
from gdframe.registry import is_built_in
from gdframe.runs.history import History
from gdframe.schedules.constant import is_constant
from gdframe.stopping import Status, Verdict


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
    ) -> None:
        for name, value in (("every", every), ("rows", rows)):
            if value < 1:
                raise bad_value(f"{name}={value}", "a whole number of at least 1")
        self.curvature, self.every, self.most_rows = curvature, every, rows
        self.smallest = smallest
        self._wants_theory = theory
        self.theory: Theory | None = None
        self._measured_rate: float | None = None
        self._unit = 1.0
        self.evidence = evidence
        self.quadratic: LeastSquares | None = None
        self._rule: LinearRule | None = None

    def begin(self, run: Problem, data: Dataset, loader: Loader, epochs: int = 1) -> None:
        """Compute what is cheap to know about the objective.

        Raises:
            UserError: the objective has no curvature, or theory has no result for it.
        """
        self._objective, self._loader, self._data = run.objective, loader, data
        loss = run.objective.loss
        self._unit = objective_unit(loss, data)
        if self.curvature and loss is not None and not loss.curved:
            raise UserError(
                f"diagnostics.curvature=true: the second derivative of {loss.name} is zero, so "
                "its curvature says nothing about stability; set it to false, or use a smooth "
                "loss such as huber or squared_hinge"
            )
        self._is_rule_known = is_built_in(run.optimizer)
        self._is_lr_constant = is_constant(run.schedule)
        self._is_full_batch = takes_all_rows(loader)
        self._spectrum = Curvature(run.objective, data, self.most_rows)
        self._trial = SmallerRates(run, data, loader, epochs)
        self._rule = LinearRule.of(run)  # it may fail: what is above is there then
        self.theory = theory_of(run.objective, data) if self._wants_theory else None
        if self._wants_theory and self.theory is None:
            raise UserError(
                "diagnostics.theory=true: the minimum of this objective is not known; set it to "
                "false, or use least squares (model=linear or polynomial, loss=mse, penalty=none "
                "or l2) or logistic regression (loss=binary_cross_entropy, penalty=l2) on "
                "smaller data"
            )
        if self.evidence or self.curvature:
            self.quadratic = least_squares(run.objective, data)
            self._spectrum.measure_start(self.quadratic, is_followed=self.curvature)

    def columns(
        self, row: Mapping[str, float], parameters: Mapping[str, Tensor]
    ) -> dict[str, float]:
        """Return the curvature, the learning rate times it, and the stability limit of that.

        Values are NaN in epochs without a measurement, and where the limit is not known. With
        theory, the gap to the minimum is a column too.
        """
        columns: dict[str, float] = {}
        if self.curvature:
            epoch = int(row["epoch"])
            is_due = epoch % self.every == 0
            if is_due and self.quadratic is None:
                place = f"at epoch {epoch:,}"
                self._spectrum.measure(parameters, place, smallest=self.smallest)
            product = math.nan if self._rule is None else self._rule.product
            columns = self._spectrum.row(
                row["lr"],
                product if math.isfinite(product) else math.nan,
                is_due=is_due,
                smallest=self.smallest,
            )
        if self.theory is not None:
            columns["theory/gap"] = row["objective"] - self.theory.minimum * self._unit
        return columns

    @property
    def stability(self) -> Stability | None:
        """Limits of the learning rate by the last measured curvature; None if unknown."""
        return stability_of(
            self._rule,
            self._spectrum.largest,
            quadratic=self.quadratic,
            batch_size=self._loader.batch_size,
            is_sampled=not self._is_full_batch,
            place=self._spectrum.place,
        )

    def explain(
        self,
        verdict: Verdict,
        history: History,
        parameters: Mapping[str, Tensor],
        row: Mapping[str, float] | None = None,
        *,
        is_rate_searched: bool = False,
    ) -> Verdict:
        """Return the verdict with advice on the learning rate, the gap and the end point."""
        if self.theory is not None and self._is_full_batch and verdict.status != Status.DIVERGED:
            self._measured_rate = measured_rate(
                history["objective"], self.theory.minimum * self._unit, history["epoch"]
            )
        if verdict.status == Status.DIVERGED:
            return self._explain_divergence(verdict, history)
        sentences = [verdict.advice] if verdict.advice else []
        row = history.last if row is None else row
        if not verdict.restores_best and (self.evidence or self.curvature):
            # the measurements belong to the last point, not to a restored one
            sentences += self._on_descent(
                verdict, history, parameters, row, is_rate_searched=is_rate_searched
            )
            sentences += fit_sentences(history, parameters)
        sentences += poor_predictions(row, self._data)
        return replace(verdict, advice="; ".join(sentences))

    def _explain_divergence(self, verdict: Verdict, history: History) -> Verdict:
        lr = max(float(history["lr"].max()), self._trial.lr if self._is_lr_constant else 0.0)
        stability = None if self.stability is None else replace(self.stability, lr=lr)
        is_derived = stability is not None and stability.is_known and stability.is_constant
        trial = None if is_derived or not self.evidence else self._trial.result()
        return explain_divergence(verdict, stability, trial)

    def _on_descent(
        self,
        verdict: Verdict,
        history: History,
        parameters: Mapping[str, Tensor],
        row: Mapping[str, float],
        *,
        is_rate_searched: bool,
    ) -> list[str]:
        """Return what kept a run from a stationary point, how far it is, or which point it is."""
        near = nearness(self._objective, self._data, row, parameters)
        is_function = isinstance(self._objective.model, Function) and self._spectrum.is_cheap
        if is_function:
            self._spectrum.measure(parameters, "at this point", smallest=True)
        lr = float(history["lr"][-1])
        evidence = Evidence(
            objective=history["objective"],
            epochs=history["epoch"],
            lr=lr,
            largest_lr=float(history["lr"].max()),
            is_sampled=not self._is_full_batch,
            nearness=near,
            stability=None if self.stability is None else replace(self.stability, lr=lr),
            tolerance=self.tolerance,
            eps=torch.finfo(next(iter(parameters.values())).dtype).eps,
            remaining=self._epochs_to_go(parameters, near),
            try_smaller=self._trial.result,
            is_rate_searched=is_rate_searched,
            is_rule_known=self._is_rule_known,
        )
        is_at_limit = verdict.status in (Status.MAX_EPOCHS, Status.TIME_LIMIT)
        sentences = why_not_further(evidence) if is_at_limit and not near.is_near else []
        if gap := gap_to_minimum(evidence):
            sentences.append(gap)
        if near.minimum is not None and not near.minimum.is_attained:
            sentences.append(no_finite_minimum(self._objective))
        smallest, largest = self._spectrum.smallest, self._spectrum.largest
        if is_function and near.is_near and smallest is not None and largest is not None:
            kind = kind_of_point(smallest, largest, self._gap_to_global(history))
            sentences += [kind] if kind else []
        return sentences

    def _epochs_to_go(self, parameters: Mapping[str, Tensor], near: Nearness) -> float | None:
        """Return the epochs until least squares with full batches converges; None if unknown."""
        is_exact = self.quadratic is not None and self._is_full_batch and self._is_lr_constant
        if not is_exact or self._rule is None or near.minimum is None:
            return None
        assert self.quadratic is not None
        factors = self._rule.radii(self.quadratic.eigenvalues) ** 2
        is_float32 = next(iter(parameters.values())).dtype == torch.float32
        solution = self.quadratic.solution.astype(np.float32 if is_float32 else np.float64)
        return self.quadratic.epochs_to_go(
            point_of(parameters), factors, self.tolerance, NEAR * near.minimum.scale / self._unit,
            np.spacing(np.abs(solution)),
        )  # fmt: skip

    @torch.no_grad()
    def _gap_to_global(self, history: History) -> float | None:
        """Return the gap of a function to its lowest known minimum; None if none is known."""
        model = self._objective.model
        if not isinstance(model, Function) or not isinstance(self._objective.penalty, NoPenalty):
            return None
        like = model.x
        points = [torch.tensor(p, dtype=like.dtype, device=like.device) for p in model.known_minima]
        if not points:
            return None
        lowest = min(float(model.value(point)) for point in points)
        return float(history["objective"][-1]) - lowest

    def facts(self) -> dict[str, Any]:
        """Return curvature, stability limits, minimum, condition number and rates, if known."""
        facts = self._spectrum.facts()
        stability = self.stability
        if stability is not None and (stability.is_constant or stability.is_known):
            facts["stability_limit"] = stability.limit
            if stability.noise_limit is not None:
                facts["noisy_limit"] = stability.noise_limit
            elif stability.is_sampled:  # the limit at smaller batches is lower, but not known
                facts["limit_of_full_batches"] = True
        if (known := self.theory or self.quadratic) is not None:
            facts["minimum"] = known.minimum * self._unit
            facts["condition_number"] = known.condition_number
        if self.theory is not None:
            if self._rule is not None and self._is_full_batch:
                facts["predicted_rate"] = self.theory.rate(self._rule)
            if self._measured_rate is not None:
                facts["measured_rate"] = self._measured_rate
        return facts

    def state(self) -> dict[str, Tensor]:
        """Return the last eigenvalues, and the vector that the next measurement starts from."""
        return self._spectrum.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore the tensors that ``state`` returned."""
        self._spectrum.load_state(state)
