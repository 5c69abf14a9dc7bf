"""What a run may ask of itself: columns for its history, and evidence for its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.engines.base import Run
from gdframe.history import History
from gdframe.loaders.base import Loader
from gdframe.stopping import Verdict


class Diagnosis:
    """Base of what looks into a run without changing its course; by itself it sees nothing."""

    def begin(self, run: Run, data: Dataset, loader: Loader) -> None:
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
