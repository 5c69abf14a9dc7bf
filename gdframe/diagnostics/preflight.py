"""Advice before training: features of different scales, columns that say the same, a wild rate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gdframe.data.dataset import Dataset
from gdframe.diagnostics.stability import Stability
from gdframe.objective import Objective

MOST_ROWS, MOST_COLUMNS = 10_000, 500
"""Rows that are looked at, evenly spaced; and columns, beyond which correlations are left out."""

UNEVEN = 30.0
"""Ratio of deviations from which on scales are called different."""

ALIKE = 0.9999
"""Correlation from which on two columns say the same."""


def advice_on_data(data: Dataset) -> list[str]:
    """Return what about the features makes descent slow, in sentences.

    Args:
        data: whose training rows are looked at.
    """
    features = data.train.features
    if data.task == "minimization" or len(features) < 3 or features.shape[1] < 2:
        return []
    x = features[:: -(-len(features) // MOST_ROWS)].double()
    deviations = x.std(dim=0)
    varies = deviations > 1e-12 * x.abs().max(dim=0).values.clamp(min=1e-300)
    names = data.encoding.feature_names
    return [
        sentence
        for sentence in (
            _uneven(deviations, varies, names),
            _collinear(x, deviations, varies, names),
        )
        if sentence
    ]


def advice_on_rate(stability: Stability | None) -> list[str]:
    """Return what about the learning rate will end badly, in sentences."""
    exceeded = None if stability is None else stability.exceeded
    if exceeded is None or stability is None:
        return []
    where = (
        "" if stability.everywhere else ", by the curvature at the start, which may fall on the way"
    )
    return [f"{exceeded}{where}"]


def _uneven(deviations: Tensor, varies: Tensor, names: list[str]) -> str | None:
    if not varies.any():
        return None
    large = int(deviations.argmax())
    small = int(deviations.masked_fill(~varies, torch.inf).argmin())
    ratio = float(deviations[large] / deviations[small])
    if ratio < UNEVEN:
        return None
    return (
        f"features differ in scale up to {ratio:,.0f} times ('{names[large]}' against "
        f"'{names[small]}'), so that no learning rate fits all: use data.standardize=true"
    )


def _collinear(x: Tensor, deviations: Tensor, varies: Tensor, names: list[str]) -> str | None:
    at = varies.nonzero()[:MOST_COLUMNS, 0]
    if len(at) < 2 or len(varies) > MOST_COLUMNS:
        return None
    scaled = (x[:, at] - x[:, at].mean(dim=0)) / deviations[at]
    whole = scaled.T @ scaled / (len(x) - 1)
    correlation = whole.abs().fill_diagonal_(0.0)
    if float(correlation.max()) < ALIKE:
        return _dependent(whole, [names[int(i)] for i in at]) if len(x) > len(at) else None
    one, other = divmod(int(correlation.argmax()), len(at))
    pairs = int((correlation >= ALIKE).sum()) // 2
    more = f", and {pairs - 1} more pairs" if pairs > 1 else ""
    return (
        f"columns '{names[int(at[one])]}' and '{names[int(at[other])]}' are collinear{more}: "
        "descent cannot tell them apart and the minimum is not one point; drop one, or use "
        "penalty=l2"
    )


def _dependent(correlation: Tensor, names: list[str]) -> str | None:
    """Speak of columns that several others add up to."""
    values, vectors = torch.linalg.eigh(correlation)
    if float(values[0]) > DEPENDENT:
        return None
    weights = vectors[:, 0].abs()
    taken = (weights > 0.05 * weights.max()).nonzero()[:, 0].tolist()
    shown = ", ".join(f"'{names[i]}'" for i in taken[:5]) + (", ..." if len(taken) > 5 else "")
    return (
        f"columns {shown} follow from each other (a sum of multiples of them is constant): the "
        "minimum is not one point; drop one, or use penalty=l2"
    )


def advice_on_curvature(objective: Objective) -> list[str]:
    """Return what curvature does not tell of an objective that is not twice differentiable."""
    loss, penalty, model = objective.loss, objective.penalty, objective.model
    found = []
    if loss is not None and loss.kinked:
        found.append(
            f"{loss.name} is not twice differentiable: curvature is that of the rows where it is "
            "quadratic, and zero if there are none; it can jump from one step to the next"
        )
    if objective.penalized and penalty.kinked:
        found.append(
            f"{type(penalty).__name__} has a kink at zero: lambda_max counts the smooth part "
            "alone, and weights may swing about zero at any rate"
        )
    if any(isinstance(part, PIECEWISE) for part in model.modules()):
        found.append(
            "the model is piecewise linear (relu): curvature is that of the piece a point is on, "
            "and it can jump where one ends"
        )
    return found


PIECEWISE = (nn.ReLU, nn.LeakyReLU, nn.MaxPool1d, nn.MaxPool2d)
"""Layers with kinks."""

DEPENDENT = 1e-9
"""Smallest eigenvalue of correlations at which columns follow from each other."""
