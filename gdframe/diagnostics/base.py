"""What a run may ask of itself: columns for its history, and evidence for its verdict."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.engines.base import Problem
from gdframe.errors import UserError
from gdframe.loaders.base import Loader
from gdframe.runs.history import History
from gdframe.stopping import Verdict

log = logging.getLogger("gdframe")

T = TypeVar("T")


class Diagnosis:
    """Base of what looks into a run without changing its course; by itself it sees nothing."""

    def begin(self, run: Problem, data: Dataset, loader: Loader) -> None:
        """Take a run before its first step; its model holds the starting values."""

    def columns(
        self, row: Mapping[str, float], parameters: Mapping[str, Tensor]
    ) -> dict[str, float]:
        """Return what is measured at the end of an epoch, the same columns each time.

        Args:
            row: of the history, so far.
            parameters: current values by name.
        """
        return {}

    def explain(
        self, verdict: Verdict, history: History, parameters: Mapping[str, Tensor]
    ) -> Verdict:
        """Return the verdict with the evidence there is.

        Args:
            verdict: of the run that ends.
            history: what it measured.
            parameters: where it ended.
        """
        return verdict

    def facts(self) -> dict[str, Any]:
        """Return what is known at the end, as plain values by name."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """Return copies of what is needed to go on after a resume as if there had been none."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""


class Guarded(Diagnosis):
    """Asks another diagnosis, and lets the run go on where that fails.

    Each figure that is missing is named once, in the log and among the facts.

    Args:
        diagnosis: the other one.
    """

    def __init__(self, diagnosis: Diagnosis) -> None:
        self._diagnosis = diagnosis
        self._columns: tuple[str, ...] = ()
        self._missing: dict[str, str] = {}

    def begin(self, run: Problem, data: Dataset, loader: Loader) -> None:
        """Take a run before its first step.

        Raises:
            UserError: what the diagnosis was asked for does not exist.
        """
        self._ask(
            "the curvature at the start", lambda: self._diagnosis.begin(run, data, loader), None
        )

    def columns(
        self, row: Mapping[str, float], parameters: Mapping[str, Tensor]
    ) -> dict[str, float]:
        """Return the columns; NaN in those that cannot be measured any more."""
        missing = dict.fromkeys(self._columns, math.nan)
        columns = self._ask(
            "the curvature on the way", lambda: self._diagnosis.columns(row, parameters), missing
        )
        self._columns = tuple(columns)
        return columns

    def explain(
        self, verdict: Verdict, history: History, parameters: Mapping[str, Tensor]
    ) -> Verdict:
        """Return the verdict with the evidence there is."""
        return self._ask(
            "the evidence for the verdict",
            lambda: self._diagnosis.explain(verdict, history, parameters),
            verdict,
        )

    def facts(self) -> dict[str, Any]:
        """Return what is known at the end, and under ``missing`` what could not be measured."""
        none: dict[str, Any] = {}
        facts = self._ask("the figures at the end", self._diagnosis.facts, none)
        return {**facts, "missing": dict(self._missing)} if self._missing else facts

    def state(self) -> dict[str, Tensor]:
        """Return copies of what is needed to go on after a resume."""
        return self._diagnosis.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        self._diagnosis.load_state(state)

    def _ask(self, figure: str, ask: Callable[[], T], otherwise: T) -> T:
        try:
            return ask()
        except UserError:
            raise
        except Exception as error:  # of a component from elsewhere, or of its derivatives
            if figure not in self._missing:
                text = str(error).strip().splitlines() or [type(error).__name__]
                self._missing[figure] = text[0]
                log.warning("warning: %s is not measured: %s", figure, text[0])
            return otherwise
