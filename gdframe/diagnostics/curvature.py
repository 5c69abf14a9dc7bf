"""The extreme curvatures of a run's objective: at the start, on the way and at the end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.diagnostics.lanczos import Extremes
from gdframe.diagnostics.least_squares import LeastSquares
from gdframe.diagnostics.spectrum import ROUGH, largest_at_start, spectrum_at
from gdframe.engines.expansion import why_not_quadratic_penalty
from gdframe.models.function import Function
from gdframe.models.plain import is_linear_in_parameters
from gdframe.models.quadratic import Quadratic
from gdframe.objective import Objective
from gdframe.registry import is_built_in

CHEAP = 5_000
"""Most parameters of a model whose curvature is measured without being asked for."""


class Curvature:
    """The largest and the smallest eigenvalue of an objective's Hessian, as last measured.

    Args:
        objective: model, loss and penalty; the model holds the starting values.
        data: its training rows.
        most_rows: most training rows of a measurement, evenly spaced.

    Attributes:
        largest: the largest eigenvalue; None if it is not measured.
        smallest: the smallest eigenvalue; None if it is not measured.
        place: where they were measured, for a sentence; empty if they are the same everywhere.
    """

    def __init__(self, objective: Objective, data: Dataset, most_rows: int) -> None:
        self._objective, self._data, self._most_rows = objective, data, most_rows
        stride = -(-data.rows // most_rows)
        sample = data.train.take(slice(None, None, stride))
        self._rows = objective.encode(sample)
        model, loss = objective.model, objective.loss
        self._names = [n for n, p in model.named_parameters() if p.requires_grad]
        # built-in components have tested derivatives
        self._is_checked = all(p is None or is_built_in(p) for p in objective.components.values())
        is_simple = is_linear_in_parameters(model) or isinstance(model, Function)
        size = sum(p.numel() for p in model.parameters())
        self.is_cheap = is_simple and size <= CHEAP and (loss is None or loss.curved)
        self.largest: float | None = None
        self.smallest: float | None = None
        self.place = "at the start"
        self._vector: NDArray[np.float64] | None = None

    def measure_start(self, quadratic: LeastSquares | None, *, is_followed: bool) -> None:
        """Measure the largest curvature at the start where that is cheap.

        Args:
            quadratic: the objective as a quadratic, if it is one.
            is_followed: whether it will be measured during training.
        """
        objective = self._objective
        if quadratic is not None:
            self.largest, self.smallest, self.place = quadratic.largest, quadratic.smallest, ""
        elif self.is_cheap and not is_followed:
            measure = partial(self._spectrum, tolerance=ROUGH)
            self.largest = largest_at_start(objective, self._data, self._most_rows, measure)
            if type(objective.model) is Quadratic and why_not_quadratic_penalty(objective) is None:
                self.place = ""

    def measure(self, parameters: Mapping[str, Tensor], place: str, *, smallest: bool) -> None:
        """Measure the extreme curvatures at some parameters.

        Args:
            parameters: by name.
            place: where they are, for a sentence.
            smallest: whether to measure the smallest eigenvalue too.
        """
        spectrum = self._spectrum(parameters, start=self._vector, smallest=smallest)
        self._vector = spectrum.vector
        if spectrum.low_vector is not None:
            self._vector = spectrum.vector + spectrum.low_vector
        self.largest, self.smallest = spectrum.largest, spectrum.smallest
        self.place = self.place and place

    def row(self, lr: float, product: float, *, is_due: bool, smallest: bool) -> dict[str, float]:
        """Return the columns of an epoch; NaN without a measurement, or without a limit.

        Args:
            lr: the learning rate.
            product: largest stable product of learning rate and curvature.
            is_due: whether the epoch is one with a measurement.
            smallest: whether there is a column of the smallest eigenvalue.
        """
        largest = self.largest if is_due and self.largest is not None else math.nan
        columns = {
            "curvature/lambda_max": largest,
            "curvature/lr_times_lambda_max": lr * largest,
            "curvature/stability_limit": product if is_due else math.nan,
        }
        if smallest:
            is_measured = is_due and self.smallest is not None
            columns["curvature/lambda_min"] = self.smallest if is_measured else math.nan  # type: ignore[assignment]
        return columns

    def facts(self) -> dict[str, Any]:
        """Return the eigenvalues, where they were measured and on how many rows."""
        if self.largest is None:
            return {}
        facts: dict[str, Any] = {"lambda_max": self.largest}
        if self.smallest is not None:
            facts["lambda_min"] = self.smallest
        if self.place:
            facts["curvature_place"] = self.place
            if len(self._rows) < self._data.rows:
                facts["curvature_rows"] = len(self._rows)
        return facts

    def state(self) -> dict[str, Tensor]:
        """Return the last eigenvalues, and the vector that the next measurement starts from."""
        values = {"largest": self.largest, "smallest": self.smallest}
        state = {
            n: torch.tensor(v, dtype=torch.float64) for n, v in values.items() if v is not None
        }
        if self._vector is not None:
            state["vector"] = torch.from_numpy(self._vector.copy())
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore the tensors that ``state`` returned."""
        self._vector = state["vector"].numpy().copy() if "vector" in state else None
        numbers = {n: float(state[n]) for n in ("largest", "smallest") if n in state}
        if not all(map(math.isfinite, numbers.values())):
            raise ValueError("its curvature is not finite")
        self.largest, self.smallest = numbers.get("largest"), numbers.get("smallest")

    def _spectrum(self, parameters: Mapping[str, Tensor], **settings: Any) -> Extremes:
        """Return the extreme eigenvalues of the Hessian at some parameters."""
        trained = {name: parameters[name] for name in self._names}
        spectrum = spectrum_at(
            self._objective, trained, self._rows, check=not self._is_checked, **settings
        )
        self._is_checked = True
        return spectrum
