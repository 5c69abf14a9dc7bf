"""Advice before training: uneven feature scales, redundant columns, a too large learning rate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gdframe.data.dataset import Dataset
from gdframe.data.preparation import LOST
from gdframe.diagnostics.stability import Stability
from gdframe.engines.expansion import why_not_quadratic_penalty
from gdframe.objective import Objective
from gdframe.penalties.elastic_net import ElasticNet

MOST_ROWS, MOST_COLUMNS = 10_000, 500
"""Most rows to check, evenly spaced; most columns whose correlations are checked."""

UNEVEN = 30.0
"""Ratio of standard deviations from which on feature scales count as uneven."""

COLLINEAR = 0.9999
"""Correlation from which on two columns count as nearly collinear."""

DEPENDENT = 1e-9
"""Smallest eigenvalue of the correlation matrix up to which columns count as nearly dependent."""

ROUNDING = 8.0
"""Relative error of values, in units of their type's, up to which a dependence counts as exact."""

FAR = 20.0
"""Ratio of the target's mean and standard deviation from which on the mean dwarfs its variation."""

PIECEWISE = (nn.ReLU, nn.LeakyReLU, nn.MaxPool1d, nn.MaxPool2d)
"""Piecewise linear layers."""


def advice_on_data(data: Dataset, objective: Objective) -> list[str]:
    """Return advice on features that make descent slow, one sentence each.

    Args:
        data: its training rows are checked.
        objective: its penalty may make the minimum unique although columns are collinear.
    """
    if data.task == "minimization":
        return []
    return [*_advice_on_target(data), *_advice_on_features(data, objective)]


def _advice_on_target(data: Dataset) -> list[str]:
    """Return advice on a target whose mean is far larger than its variation."""
    if data.task != "regression" or len(data.train.targets) < 3:
        return []
    y = data.train.targets
    mean, deviation = float(y.double().mean().abs()), float(y.double().std())
    if deviation == 0 or mean < FAR * deviation:
        return []
    rounding = torch.finfo(y.dtype).eps * mean / deviation
    remedy = ", and dtype=float64" if rounding > LOST else ""
    return [
        f"target '{data.encoding.target_name}' has a mean {mean / deviation:,.0f} times its "
        "standard deviation: most of the descent goes into the mean; subtract it from the "
        f"target{remedy}"
    ]


def _advice_on_features(data: Dataset, objective: Objective) -> list[str]:
    """Return advice on uneven scales and on columns that depend on each other."""
    features = data.train.features
    if len(features) < 3 or features.shape[1] < 2:
        return []
    x = features[:: -(-len(features) // MOST_ROWS)]
    eps = max(torch.finfo(x.dtype).eps, 1e-12)  # eigenvectors are less exact than the values
    x = x.double()
    deviations, sizes = x.std(dim=0), x.abs().max(dim=0).values
    is_varying = deviations > 1e-12 * sizes.clamp(min=1e-300)
    names = data.encoding.feature_names
    is_scaled = is_varying.clone()
    is_scaled[data.encoding.indicators] = False
    advice = [_advice_on_scales(deviations, is_scaled, names)]
    is_varying[data.encoding.follows] = False  # one-hot columns add up to one, as they should
    columns = is_varying.nonzero()[:, 0]
    if 2 <= len(columns) <= MOST_COLUMNS and not is_strictly_convex(objective):
        scaled = (x[:, columns] - x[:, columns].mean(dim=0)) / deviations[columns]
        noise = ROUNDING * eps * sizes[columns] / deviations[columns]
        dependence = _dependence(scaled, noise, [names[i] for i in columns.tolist()])
        if dependence is not None:
            has_l2 = bool(objective.penalized) and objective.penalty.curvature is not None
            remedy = "raise penalty.strength above 0" if has_l2 else "use penalty=l2"
            advice.append(f"{dependence}; drop one of them, or {remedy}")
    return [sentence for sentence in advice if sentence]


def advice_on_rate(stability: Stability | None) -> list[str]:
    """Return advice on a learning rate above its stability limit."""
    if stability is None or not stability.is_known or not stability.exceeded:
        return []
    where = "" if stability.is_constant else ", where the curvature may decrease"
    return [f"{stability.comparison}{where}; try {stability.suggestion}"]


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


def is_strictly_convex(objective: Objective) -> bool:
    """Return whether the penalty is known to make the minimum of a convex loss unique."""
    penalty = objective.penalty
    if not objective.penalized:
        return False
    if type(penalty) is ElasticNet:
        return penalty.strength > 0 and penalty.ratio < 1
    return why_not_quadratic_penalty(objective) is None and penalty.curvature != 0


def _dependence(scaled: Tensor, noise: Tensor, names: list[str]) -> str | None:
    """Return a sentence on columns of which one is a linear combination of the others.

    Args:
        scaled: (rows, columns) of mean 0 and standard deviation 1.
        noise: (columns,) the rounding of their values.
        names: of the columns.
    """
    correlation = scaled.T @ scaled / (len(scaled) - 1)
    pairs = correlation.triu(diagonal=1)
    if float(pairs.abs().max()) >= COLLINEAR:
        first, second = divmod(int(pairs.abs().argmax()), len(names))
        count = int((pairs.abs() >= COLLINEAR).sum())
        weights = torch.zeros_like(noise)
        weights[first], weights[second] = 1.0, -pairs[first, second].sign()
        shown, kind = f"'{names[first]}' and '{names[second]}'", "collinear"
        kind += f" (and {count - 1} more pairs)" if count > 1 else ""
    elif len(scaled) > len(names):
        values, vectors = torch.linalg.eigh(correlation)
        if float(values[0]) > DEPENDENT:
            return None
        weights = vectors[:, 0]
        sizes = weights.abs()
        columns = (sizes > 0.05 * sizes.max()).nonzero()[:, 0].tolist()
        shown, kind = ", ".join(f"'{names[i]}'" for i in columns[:5]), "linearly dependent"
        shown += ", ..." if len(columns) > 5 else ""
    else:
        return None
    is_exact = float((scaled @ weights).square().mean().sqrt()) <= float(weights.abs() @ noise)
    effect = "the minimum is not unique" if is_exact else "their weights are hardly determined"
    nearly = "" if is_exact else "nearly "
    return f"columns {shown} are {nearly}{kind}: {effect}"


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
