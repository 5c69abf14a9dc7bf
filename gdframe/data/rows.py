"""Rows of a data set: features, targets and weights as tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

BLOCK = 1 << 20
"""Rows added up at a time."""


@dataclass(frozen=True)
class Rows:
    """Features (rows, features) and targets: (rows, outputs) numbers, or (rows,) class indices.

    Args:
        features: (rows, features).
        targets: as the data has them, or as a loss encodes them.
        values: targets as the data has them, where ``targets`` are encoded in another way; metrics
            compare predictions with these.
        weights: (rows,) above 0; None where all rows weigh the same.
    """

    features: Tensor
    targets: Tensor
    values: Tensor | None = None
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def tensors(self) -> list[Tensor]:
        """Features, targets and, where rows differ in weight, weights."""
        return [t for t in (self.features, self.targets, self.weights) if t is not None]

    def on(self, device: str) -> Rows:
        """Return a copy on a device."""
        return self._each(lambda tensor: tensor.to(device))

    def take(self, where: Any) -> Rows:
        """Return some of the rows: those of a slice, or of row numbers."""
        return self._each(lambda tensor: tensor[where])

    def _each(self, function: Callable[[Tensor], Tensor]) -> Rows:
        parts = (self.features, self.targets, self.values, self.weights)
        return Rows(*(part if part is None else function(part) for part in parts))  # type: ignore[arg-type]

    @cached_property
    def measured(self) -> Rows:
        """The rows as metrics see them: with targets as the data has them."""
        return self if self.values is None else replace(self, targets=self.values, values=None)

    @cached_property
    def shares(self) -> Tensor | None:
        """The weights divided by their mean, in float64, or None without weights."""
        return None if self.weights is None else relative(self.weights)

    def digest(self) -> str:
        """Return the digest of the targets, the weights, and a sample of the features."""
        features = self.features.reshape(-1)
        digest = hashlib.blake2b(repr(tuple(self.features.shape)).encode(), digest_size=16)
        sample = features[:: max(1, len(features) // 65536)]
        weights = [] if self.weights is None else [self.weights]
        for part in (self.targets, *weights, sample):
            digest.update(part.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @cached_property
    def variation(self) -> float:
        """Sum of the squared deviations of numeric targets from their means, times ``shares``."""
        first = self.targets[0].double()  # subtracted, so that equal targets give exactly zero
        parts = torch.split(self.targets, BLOCK)
        shares = [None] * len(parts) if self.shares is None else torch.split(self.shares, BLOCK)

        def total(function: Callable[[Tensor], Tensor]) -> Tensor:
            values = (function(part.double() - first) for part in parts)
            sums = (
                value.sum(dim=0) if share is None else share @ value
                for value, share in zip(values, shares, strict=True)
            )
            return torch.stack(list(sums)).sum(dim=0)

        mean = total(lambda part: part) / len(self)
        return float(total(lambda part: (part - mean).square()).sum())


def relative(weights: Tensor) -> Tensor:
    """Return weights divided by their mean, in float64.

    Example:
        >>> relative(torch.tensor([1.0, 3.0])).tolist()
        [0.5, 1.5]
    """
    return weights.double() / weights.mean(dtype=torch.float64)
