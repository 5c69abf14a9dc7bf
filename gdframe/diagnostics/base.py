"""The base of diagnostics, which add columns to a history and evidence to a verdict."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.engines.base import Problem
from gdframe.errors import UserError, first_line
from gdframe.loaders.base import Loader
from gdframe.runs.history import History
from gdframe.stopping import Verdict

log = logging.getLogger("gdframe")

T = TypeVar("T")


class Diagnosis:
    """Base of diagnostics. A diagnosis does not change its run; this one measures nothing."""

    tolerance: float = math.nan
    """Relative decrease in an epoch below which a run converges; each run sets it."""

    def begin(self, run: Problem, data: Dataset, loader: Loader, epochs: int = 1) -> None:
        """Prepare for a run before its first step; the model holds the starting values."""

    def columns(
        self, row: Mapping[str, float], parameters: Mapping[str, Tensor]
    ) -> dict[str, float]:
        """Return the measurements at the end of an epoch, with the same columns each time.

        Args:
            row: the epoch's row of the history so far.
            parameters: current values by name.
        """
        return {}

    def explain(
        self,
        verdict: Verdict,
        history: History,
        parameters: Mapping[str, Tensor],
        row: Mapping[str, float] | None = None,
        *,
        is_rate_searched: bool = False,
    ) -> Verdict:
        """Return the verdict with advice added from the evidence.

        Args:
            verdict: the verdict of the run.
            history: its measurements.
            parameters: its last values by name.
            row: the evaluation at these values; by default the last of the history.
            is_rate_searched: whether ``lr=auto`` chose the learning rate, so that no other one is
                advised.
        """
        return verdict

    def facts(self) -> dict[str, Any]:
        """Return the results at the end of the run, as plain values by name."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """Return copies of the tensors that a resumed run needs to continue unchanged."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore the tensors that ``state`` returned."""


class FailSafe(Diagnosis):
    """Wraps a diagnosis so that its errors do not end the run.

    Each missing quantity is named once in the log and in the facts.

    Args:
        diagnosis: the diagnosis to wrap.
        tolerance: of the run, for the diagnosis.
    """

    def __init__(self, diagnosis: Diagnosis, tolerance: float = math.nan) -> None:
        self._diagnosis = diagnosis
        diagnosis.tolerance = tolerance
        self._columns: tuple[str, ...] = ()
        self._missing: dict[str, str] = {}

    def begin(self, run: Problem, data: Dataset, loader: Loader, epochs: int = 1) -> None:
        """Prepare for a run before its first step.

        Raises:
            UserError: a requested quantity does not exist for this objective.
        """
        self._measure(
            "the curvature at the start",
            lambda: self._diagnosis.begin(run, data, loader, epochs),
            None,
        )

    def columns(
        self, row: Mapping[str, float], parameters: Mapping[str, Tensor]
    ) -> dict[str, float]:
        """Return the columns, with NaN where a measurement fails."""
        missing = dict.fromkeys(self._columns, math.nan)
        columns = self._measure(
            "the curvature on the way", lambda: self._diagnosis.columns(row, parameters), missing
        )
        self._columns = tuple(columns)
        return columns

    def explain(
        self,
        verdict: Verdict,
        history: History,
        parameters: Mapping[str, Tensor],
        row: Mapping[str, float] | None = None,
        *,
        is_rate_searched: bool = False,
    ) -> Verdict:
        """Return the verdict, with advice where the evidence can be computed."""
        return self._measure(
            "the evidence for the verdict",
            lambda: self._diagnosis.explain(
                verdict, history, parameters, row, is_rate_searched=is_rate_searched
            ),
            verdict,
        )

    def facts(self) -> dict[str, Any]:
        """Return the results, and under ``missing`` why a quantity could not be measured."""
        empty: dict[str, Any] = {}
        facts = self._measure("the figures at the end", self._diagnosis.facts, empty)
        return {**facts, "missing": dict(self._missing)} if self._missing else facts

    def state(self) -> dict[str, Tensor]:
        """Return copies of the tensors that a resumed run needs to continue unchanged."""
        return self._measure("the curvature's state", self._diagnosis.state, dict[str, Tensor]())

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore the tensors that ``state`` returned."""
        self._diagnosis.load_state(state)

    def _measure(self, quantity: str, compute: Callable[[], T], default: T) -> T:
        try:
            return compute()
        except UserError:
            raise
        except Exception as error:  # a user's component, or its derivatives, may raise anything
            if quantity not in self._missing:
                self._missing[quantity] = first_line(error)
                log.warning("warning: %s is not measured: %s", quantity, first_line(error))
            return default
