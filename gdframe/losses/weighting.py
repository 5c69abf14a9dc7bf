"""The mean loss of rows that differ in weight: their own weight times that of their class."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.data.label_text import finder_of
from gdframe.data.rows import Rows, relative
from gdframe.errors import UserError, in_words
from gdframe.losses.base import Loss
from gdframe.sameness import same_values


@dataclass(frozen=True, eq=False)
class Weighting:
    """Weights of rows in a loss.

    Encoded targets carry the weight of each row as their last column, divided by the mean over the
    rows. So the mean of weight times loss is the weighted mean over all rows, and that over a batch
    is an estimate of it without bias.

    Args:
        loss: that is weighted.
        dtype: type of its encoded targets.
        is_flat: whether they have one dimension, such as class indices.
        of_classes: weight of each class (classes,), or None.
    """

    loss: Loss
    dtype: torch.dtype
    is_flat: bool
    of_classes: Tensor | None = None

    def attach(self, encoded: Rows, raw: Tensor) -> Rows:
        """Return encoded rows with weights as the last column; ``raw`` are the data's targets.

        Raises:
            UserError: no type of numbers holds the encoded targets beside weights.
        """
        weights, like = encoded.weights, encoded.features
        if weights is None:
            weights = torch.ones(len(raw), dtype=torch.float64, device=like.device)
        if self.of_classes is not None:
            weights = relative(weights) * relative(self.of_classes).to(like.device)[raw]
        parts = (encoded.targets.reshape(len(raw), -1), relative(weights)[:, None])
        dtype = self._joint_type(encoded.targets, like.dtype)
        joined = torch.cat([part.to(dtype) for part in parts], dim=1)
        return replace(encoded, targets=joined, values=raw)

    def _joint_type(self, targets: Tensor, dtype: torch.dtype) -> torch.dtype:
        """Return a type that holds encoded targets without loss: that of the features if it does.

        Raises:
            UserError: there is none.
        """
        for candidate in (dtype, torch.float64):
            if same_values(targets.to(candidate).to(targets.dtype), targets):
                return candidate
        raise UserError(
            f"loss {type(self.loss).__name__}.encode: gives whole numbers above 2^53, which no "
            "float holds; where rows or classes have weights, encode smaller ones"
        )

    def detach(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return targets as the loss takes them, and the weights (rows,)."""
        values = targets[:, 0] if self.is_flat else targets[:, :-1]
        if not self.dtype.is_floating_point:  # whole numbers become what they were
            values = values.to(self.dtype)
        return values, targets[:, -1]

    def mean(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean of weight times loss, a 0-d tensor."""
        values, weights = self.detach(targets)
        losses = self.loss.by_row(outputs, values)
        return (losses * weights.to(losses.dtype)).mean()


def weighting_of(loss: Loss | None, data: Dataset) -> Weighting | None:
    """Return the weights of rows in a loss; None where all rows weigh the same.

    Raises:
        UserError: the data has not all classes that have a weight.
    """
    if loss is None:
        return None
    of_classes = _weights_of_classes(loss, data)
    if of_classes is None and all(rows.weights is None for rows in data.parts):
        return None
    encoded = loss.encode(data.train.targets[:1].clone(), data.train.features.dtype)
    return Weighting(loss, encoded.dtype, encoded.ndim == 1, of_classes)


def _weights_of_classes(loss: Loss, data: Dataset) -> Tensor | None:
    """Return the weight of each class (classes,) in float64, or None."""
    chosen = getattr(loss, "class_weight", None)
    if chosen is None or data.classes is None:
        return None
    if chosen == "balanced":
        counts = data.class_counts.double()
        return counts.max() / counts
    find = finder_of(data.classes)
    places = {label: find(str(label)) for label in chosen}
    unknown = [str(label) for label, place in places.items() if place is None]
    if unknown:
        classes = f"target '{data.encoding.target_name}' has the classes "
        classes += in_words(str(label) for label in data.classes[:10])
        raise UserError(f"loss.class_weight names {in_words(unknown)}, but {classes}")
    weights = torch.ones(len(data.classes), dtype=torch.float64)
    for label, weight in chosen.items():
        weights[places[label]] = float(weight)
    return weights
