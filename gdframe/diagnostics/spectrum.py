"""Extreme eigenvalues of an objective's Hessian."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.data.rows import Rows
from gdframe.diagnostics.cache_key import RowsCache, digest_of, settings_key
from gdframe.diagnostics.hessian import Hessian
from gdframe.diagnostics.lanczos import Extremes, extremes
from gdframe.diagnostics.typed_objective import is_same_in_double
from gdframe.hidden_state import undisturbed
from gdframe.objective import Objective

SMALL = 20_000
"""Most parameters for which Hessian products are computed in float64."""

TOLERANCE, ROUGH = 1e-6, 1e-3
"""Relative errors of eigenvalues: in float64, and in the dtype of the run."""


_starts = RowsCache[float](256)
"""Largest curvatures at starting points."""


def spectrum_at(
    objective: Objective,
    parameters: Mapping[str, Tensor],
    rows: Rows,
    *,
    start: NDArray[np.float64] | None = None,
    smallest: bool = False,
    tolerance: float | None = None,
    check: bool = False,
) -> Extremes:
    """Compute the largest eigenvalue of the Hessian, and the smallest if asked.

    Args:
        objective: its model, loss and penalty stay as they are.
        parameters: the point, by name; those that are trained.
        rows: encoded.
        start: (size,) the vector that the iteration starts from; by default random.
        smallest: whether to compute the smallest eigenvalue too.
        tolerance: error of an eigenvalue, relative to the largest absolute eigenvalue; by default
            by the type of the products.
        check: whether to compare a product in float64 with a difference of gradients.

    Raises:
        ArithmeticError: a product is not finite, or the check fails.
    """
    size = sum(p.numel() for p in parameters.values())
    with undisturbed(**objective.components):
        is_exact = size <= SMALL and is_same_in_double(objective, parameters, rows)
        dtype = torch.float64 if is_exact else next(iter(parameters.values())).dtype
        if tolerance is None:
            tolerance = TOLERANCE if dtype == torch.float64 else ROUGH
        hessian = Hessian(objective, parameters, rows, dtype)
        if check and dtype == torch.float64:
            hessian.check()
        return extremes(hessian, size, start=start, smallest=smallest, tolerance=tolerance)


def largest_at_start(
    objective: Objective,
    data: Dataset,
    most_rows: int,
    spectrum: Callable[[dict[str, Tensor]], Extremes],
) -> float:
    """Return the largest curvature at the start, from the cache for equal starting points.

    Args:
        objective: its model holds the starting values.
        data: its training rows.
        most_rows: rows that curvature is measured on.
        spectrum: computes the eigenvalues at some parameters.
    """
    start = {n: p.detach() for n, p in objective.model.named_parameters()}
    keys = [settings_key(p) for p in objective.components.values()]
    values = digest_of(start.values())
    return _starts.get(data.train, [*keys, values, most_rows], lambda: spectrum(start).largest)
