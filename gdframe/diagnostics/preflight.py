"""Advice before training: features of different scales, columns that say the same, a wild rate."""

from __future__ import annotations

import torch
from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.diagnostics.stability import Stability

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
    where = "" if stability.everywhere else ", by the curvature at the start"
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
    correlation = (scaled.T @ scaled / (len(x) - 1)).abs().fill_diagonal_(0.0)
    if float(correlation.max()) < ALIKE:
        return None
    one, other = divmod(int(correlation.argmax()), len(at))
    pairs = int((correlation >= ALIKE).sum()) // 2
    more = f", and {pairs - 1} more pairs" if pairs > 1 else ""
    return (
        f"columns '{names[int(at[one])]}' and '{names[int(at[other])]}' are collinear{more}: "
        "descent cannot tell them apart and the minimum is not one point; drop one, or use "
        "penalty=l2"
    )
