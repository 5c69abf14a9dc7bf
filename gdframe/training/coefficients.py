"""The coefficients of a linear model, in the units of the data instead of those of the model."""

from __future__ import annotations

import torch
from torch import nn

from gdframe.data.dataset import Dataset
from gdframe.models.linear import Linear
from gdframe.runs.coefficients_table import INTERCEPT, Coefficient


@torch.no_grad()
def coefficients_of(model: nn.Module, data: Dataset) -> list[Coefficient] | None:
    """Return the coefficients of a linear model by output and feature; None for another model.

    The model predicts from standardised features, ``z = w . (x - mean) / scale + b``. In the units
    of the data, a coefficient is ``w / scale`` and the intercept is ``b - sum(w * mean / scale)``.

    Args:
        model: predicts.
        data: training rows, with their preprocessing.
    """
    encoding = data.encoding
    names = encoding.feature_names
    if type(model) is not Linear or len(names) != model.weight.shape[1]:
        return None
    weight = model.weight.double().cpu() * encoding.target_scale  # (outputs, features)
    outputs = len(weight)
    bias = weight.new_zeros(outputs)
    if model.bias is not None:
        bias = model.bias.double().cpu() * encoding.target_scale
    mean, scale = torch.from_numpy(encoding.mean), torch.from_numpy(encoding.scale)
    centre, deviation = (moment.cpu() for moment in data.moments)
    values, effects = weight / scale, weight * deviation
    bias = bias + torch.from_numpy(encoding.shift)
    origin, middle = bias - (weight * mean / scale).sum(dim=1), bias + weight @ centre
    classes = [str(label) for label in data.classes or ()]
    if outputs == 1:
        labels = classes[1:] if len(classes) == 2 else [""]
    else:  # a loss may have other outputs than one for each class
        labels = classes if len(classes) == outputs else [str(k + 1) for k in range(outputs)]
    coefficients = []
    for k, label in enumerate(labels):
        rows = zip(names, values[k].tolist(), effects[k].tolist(), strict=True)
        coefficients += [Coefficient(label, *row) for row in rows]
        if model.bias is not None:
            coefficients.append(Coefficient(label, INTERCEPT, origin[k].item(), middle[k].item()))
    return coefficients
