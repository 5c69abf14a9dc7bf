"""Preprocessing that is fitted on training rows, applied to all rows, and stored with a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.data.calendar_parts import PARTS
from gdframe.data.frame import Column, Kind, take

BLOCK = 8192
"""Rows preprocessed at a time, so that memory never holds a second copy of all features."""


@dataclass(frozen=True)
class Encoding:
    """The map from raw columns to the model's features: ``(x - mean) / scale``.

    Args:
        columns: the raw features.
        mean: subtracted value of each feature, (features,); zeros without standardisation.
        scale: divisor of each feature, (features,), never zero; ones without standardisation.
        fill: replacement of missing values, (features,), or None if a missing value is an error.
        target_name: name of the target's column.
        classes: labels of a classification target.
        reading: how the table was read; empty for other data.
        offset: subtracted from each target, (outputs,), where targets are standardised, or the
            run's type could not tell targets so far from zero apart; empty otherwise.
        target_scale: divisor of all targets after that; above 0.
    """

    columns: Sequence[Column]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    fill: NDArray[np.float64] | None = None
    target_name: str = "target"
    classes: tuple[Any, ...] | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)
    offset: tuple[float, ...] = ()
    target_scale: float = 1.0

    @property
    def feature_names(self) -> list[str]:
        """Names of the model's features, in order."""
        return [name for column in self.columns for name in column.feature_names]

    @property
    def shift(self) -> NDArray[np.float64]:
        """Amount that each target is shifted by, (outputs,) or (1,): zero without ``offset``."""
        return np.asarray(self.offset or (0.0,), dtype=np.float64)

    def standard_targets(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return targets, (rows, outputs), as a model is trained on them."""
        targets: NDArray[np.float64] = (values - self.shift) / self.target_scale
        return targets

    def predictions(self, outputs: Tensor) -> Tensor:
        """Return predicted values (rows, outputs) in the units of the target."""
        if not self.offset and self.target_scale == 1:
            return outputs
        return outputs.double() * self.target_scale + torch.from_numpy(self.shift)

    @property
    def follows(self) -> list[int]:
        """Indices of features that follow from others by design: a category of each column."""
        ends = np.cumsum([0, *(column.width for column in self.columns)]).tolist()
        kinds = [column.kind for column in self.columns]
        return [start for start, kind in zip(ends, kinds, strict=False) if kind == "category"]

    @property
    def indicators(self) -> list[int]:
        """Indices of standardised features of two values, whose scale is theirs on purpose."""
        kinds = [column.kind for column in self.columns for _ in range(column.width)]
        return [
            place
            for place, kind in enumerate(kinds)
            if kind in ("boolean", "category", "words") and self.scale[place] != 1.0
        ]

    def transform(
        self,
        values: NDArray[Any] | Sequence[NDArray[Any]],
        rows: NDArray[np.int64],
        dtype: np.dtype[Any],
    ) -> NDArray[Any]:
        """Return the features of ``rows``, (rows, features) in ``dtype``."""
        out = np.empty((len(rows), len(self.mean)), dtype=dtype)
        for start, part in _blocks(rows):
            block = take(self.columns, values, part)
            if self.fill is not None:
                block = np.where(np.isnan(block), self.fill, block)
            out[start : start + len(part)] = (block - self.mean) / self.scale
        return out

    def to_json(self) -> dict[str, Any]:
        """Return plain values from which ``from_json`` rebuilds exactly this encoding."""
        return {
            "columns": [
                {"name": c.name, "kind": c.kind, "categories": list(c.categories)}
                | ({"pattern": c.pattern} if c.pattern else {})
                for c in self.columns
            ],
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "fill": None if self.fill is None else self.fill.tolist(),
            "target": self.target_name,
            "classes": None if self.classes is None else list(self.classes),
            **({"reading": dict(self.reading)} if self.reading else {}),
            **({"offset": list(self.offset)} if self.offset else {}),
            **({"target_scale": self.target_scale} if self.target_scale != 1 else {}),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Encoding:
        """Return the encoding that ``to_json`` has stored.

        Raises:
            ValueError: its parts do not fit each other.
        """
        encoding = cls(
            columns=[
                Column(c["name"], c["kind"], tuple(c["categories"]), c.get("pattern", ""))
                for c in stored["columns"]
            ],
            mean=np.asarray(stored["mean"], dtype=np.float64),
            scale=np.asarray(stored["scale"], dtype=np.float64),
            fill=None if stored["fill"] is None else np.asarray(stored["fill"], dtype=np.float64),
            target_name=stored["target"],
            classes=None if stored["classes"] is None else tuple(stored["classes"]),
            reading=stored.get("reading", {}),
            offset=tuple(stored.get("offset", ())),
            target_scale=stored.get("target_scale", 1.0),
        )
        encoding._check()
        return encoding

    def _check(self) -> None:
        for column in self.columns:
            is_text = all(isinstance(text, str) for text in column.categories)
            if column.kind not in get_args(Kind) or not is_text:
                raise ValueError(f"column '{column.name}' is of an unknown kind")
            if column.kind == "date" and not set(column.categories) <= set(PARTS):
                raise ValueError(f"column '{column.name}' has unknown parts of a date")
        width = sum(column.width for column in self.columns)
        for name, values in (("mean", self.mean), ("scale", self.scale), ("fill", self.fill)):
            if values is not None and len(values) != width:
                raise ValueError(f"{len(values)} numbers of {name} do not fit {width} features")
        if not self.scale.all():
            raise ValueError("scale has a zero")
        if not self.target_scale > 0:
            raise ValueError("the scale of targets is not above zero")


def fit_moments(
    columns: Sequence[Column],
    values: NDArray[Any] | Sequence[NDArray[Any]],
    rows: NDArray[np.int64],
    weights: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation (divisor N) of the present values of each feature.

    With weights, (all rows,), these count in place of rows.

    Blocks are merged by the pairwise formula of Chan, Golub and LeVeque (1983). A feature whose
    deviation is only rounding error of its mean counts as constant: deviation 0. A feature without
    any value has mean 0.
    """
    width = sum(column.width for column in columns)
    count, mean, squares = np.zeros(width), np.zeros(width), np.zeros(width)
    for _, part in _blocks(rows):
        block = take(columns, values, part)
        present = ~np.isnan(block)
        n = _total(present, part, weights)
        divisor = np.where(n > 0, n, 1)
        block_mean = _total(np.where(present, block, 0.0), part, weights) / divisor
        deviation = np.where(present, block - block_mean, 0.0)
        total = np.where(count + n > 0, count + n, 1)
        delta = np.where(n > 0, block_mean - mean, 0.0)
        mean = mean + delta * n / total
        within = _total(deviation**2, part, weights)
        squares = squares + within + delta**2 * count * n / total
        count = count + n
    deviation = np.sqrt(squares / np.where(count > 0, count, 1))
    entries = np.maximum(count, 1) if weights is None else len(rows)
    rounding = 8 * np.finfo(np.float64).eps * np.abs(mean) * np.sqrt(entries)
    return mean, np.where(deviation <= rounding, 0.0, deviation)


def _total(
    values: NDArray[Any], rows: NDArray[np.int64], weights: NDArray[np.float64] | None
) -> NDArray[Any]:
    """Return the sum of values (len(rows), features), each row times its weight."""
    if weights is None:
        return values.sum(axis=0)  # type: ignore[no-any-return]
    return weights[rows] @ values  # type: ignore[no-any-return]


def _blocks(rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    for start in range(0, len(rows), BLOCK):
        yield start, rows[start : start + BLOCK]
