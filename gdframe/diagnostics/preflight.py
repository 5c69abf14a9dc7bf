"""Advice before training: uneven feature scales, redundant columns, a too large learning rate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gdframe.data.dataset import Dataset
from gdframe.diagnostics.stability import Stability
from gdframe.objective import Objective

MOST_ROWS, MOST_COLUMNS = 10_000, 500
"""Most rows to check, evenly spaced; most columns whose correlations are checked."""

UNEVEN = 30.0
"""Ratio of standard deviations from which on feature scales count as uneven."""

COLLINEAR = 0.9999
"""Correlation from which on two columns count as collinear."""

DEPENDENT = 1e-9
"""Smallest eigenvalue of the correlation matrix up to which columns count as dependent."""

PIECEWISE = (nn.ReLU, nn.LeakyReLU, nn.MaxPool1d, nn.MaxPool2d)
"""Piecewise linear layers."""


def advice_on_data(data: Dataset) -> list[str]:
    """Return advice on features that make descent slow, one sentence each.

    Args:
        data: its training rows are checked.
    """
    features = data.train.features
    if data.task == "minimization" or len(features) < 3 or features.shape[1] < 2:
        return []
    x = features[:: -(-len(features) // MOST_ROWS)].double()
    deviations = x.std(dim=0)
    is_varying = deviations > 1e-12 * x.abs().max(dim=0).values.clamp(min=1e-300)
    names = data.encoding.feature_names
    return [
        sentence
        for sentence in (
            _advice_on_scales(deviations, is_varying, names),
            _advice_on_collinearity(x, deviations, is_varying, names),
        )
        if sentence
    ]


def advice_on_rate(stability: Stability | None) -> list[str]:
    """Return advice on a learning rate above its stability limit."""
    exceeded = None if stability is None else stability.exceeded
    if exceeded is None or stability is None:
        return []
    where = "" if stability.is_constant else " (by the curvature at the start, which may decrease)"
    return [f"{exceeded}{where}"]


def _advice_on_scales(deviations: Tensor, is_varying: Tensor, names: list[str]) -> str | None:
    if not is_varying.any():
        return None
    large = int(deviations.argmax())
    small = int(deviations.masked_fill(~is_varying, torch.inf).argmin())
    ratio = float(deviations[large] / deviations[small])
    if ratio < UNEVEN:
        return None
    return (
        f"features differ in scale up to {ratio:,.0f} times ('{names[large]}' and "
        f"'{names[small]}'): no learning rate fits all of them; use data.standardize=true"
    )


def _advice_on_collinearity(
    x: Tensor, deviations: Tensor, is_varying: Tensor, names: list[str]
) -> str | None:
    columns = is_varying.nonzero()[:MOST_COLUMNS, 0]
    if len(columns) < 2 or len(is_varying) > MOST_COLUMNS:
        return None
    names = [names[int(column)] for column in columns]
    scaled = (x[:, columns] - x[:, columns].mean(dim=0)) / deviations[columns]
    correlation = scaled.T @ scaled / (len(x) - 1)
    sizes = correlation.abs().fill_diagonal_(0.0)
    if float(sizes.max()) < COLLINEAR:
        return _advice_on_dependence(correlation, names) if len(x) > len(columns) else None
    first, second = divmod(int(sizes.argmax()), len(columns))
    pairs = int((sizes >= COLLINEAR).sum()) // 2
    more = f" (and {pairs - 1} more pairs)" if pairs > 1 else ""
    return (
        f"columns '{names[first]}' and '{names[second]}' are collinear{more}: the minimum is not "
        "unique; drop one of them, or use penalty=l2"
    )


def _advice_on_dependence(correlation: Tensor, names: list[str]) -> str | None:
    """Return advice on columns of which one is a linear combination of the others."""
    values, vectors = torch.linalg.eigh(correlation)
    if float(values[0]) > DEPENDENT:
        return None
    weights = vectors[:, 0].abs()
    columns = (weights > 0.05 * weights.max()).nonzero()[:, 0].tolist()
    shown = ", ".join(f"'{names[i]}'" for i in columns[:5]) + (", ..." if len(columns) > 5 else "")
    return (
        f"columns {shown} are linearly dependent: the minimum is not unique; drop one of them, or "
        "use penalty=l2"
    )


def advice_on_curvature(objective: Objective) -> list[str]:
    """Return the limits of curvature for an objective that is not twice differentiable."""
    loss, penalty, model = objective.loss, objective.penalty, objective.model
    advice = []
    if loss is not None and loss.kinked:
        advice.append(
            f"{loss.name} is not twice differentiable: curvature counts only the rows where it is "
            "quadratic, and can jump from one step to the next"
        )
    if objective.penalized and penalty.kinked:
        advice.append(
            f"{type(penalty).__name__} has a kink at zero: lambda_max counts only the smooth part, "
            "and weights may oscillate around zero at any learning rate"
        )
    if any(isinstance(part, PIECEWISE) for part in model.modules()):
        advice.append(
            "the model is piecewise linear (relu): curvature is that of the current piece, and "
            "jumps between pieces"
        )
    return advice
