"""Extreme eigenvalues of an objective's Hessian."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.data.dataset import Dataset, Rows
from gdframe.diagnostics.hessian import Hessian
from gdframe.diagnostics.lanczos import Extremes, extremes
from gdframe.hidden_state import undisturbed
from gdframe.objective import Objective

SMALL = 20_000
"""Most parameters for which Hessian products are computed in float64."""

TOLERANCE, ROUGH = 1e-6, 1e-3
"""Relative errors of eigenvalues: in float64, and in the dtype of the run."""


MOST_STARTS = 256
"""Most starting points in the cache of curvatures."""

_starts: dict[Any, tuple[weakref.ref[Tensor], float]] = {}


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
        objective: its model and loss stay as they are.
        parameters: the point, by name; those that are trained.
        rows: encoded.
        start: (size,) the vector that the iteration starts from; by default random.
        smallest: whether to compute the smallest eigenvalue too.
        tolerance: largest relative residual; by default by the type of the products.
        check: whether to compare a product in float64 with a difference of gradients.

    Raises:
        ArithmeticError: a product is not finite, or the check fails.
    """
    size = sum(p.numel() for p in parameters.values())
    dtype = torch.float64 if size <= SMALL else next(iter(parameters.values())).dtype
    if tolerance is None:
        tolerance = TOLERANCE if dtype == torch.float64 else ROUGH
    with undisturbed(model=objective.model, loss=objective.loss):
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

    A weak reference identifies the features: a later tensor may have the same ``id``.

    Args:
        objective: its model holds the starting values.
        data: its training rows.
        most_rows: rows that curvature is measured on.
        spectrum: computes the eigenvalues at some parameters.
    """
    start = {n: p.detach() for n, p in objective.model.named_parameters()}
    parts = (objective.loss, objective.penalty)
    settings = repr([(type(part), vars(part)) for part in parts if part is not None])
    values = b"".join(p.cpu().numpy().tobytes() for p in start.values())
    features = data.train.features
    key = (id(features), type(objective.model), settings, hash(values), most_rows)
    entry = _starts.get(key)
    if entry is None or entry[0]() is not features:
        largest = spectrum(start).largest
        while len(_starts) >= MOST_STARTS:
            _starts.pop(next(iter(_starts)), None)
        entry = _starts[key] = (weakref.ref(features), largest)
    return entry[1]
