"""The format of an encoding in ``model.safetensors``, with which ``predict`` reads new rows."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from gdframe.runs.schema_types import Count, Finite, Label, Text


class EncodedColumn(TypedDict):
    """A column of the training data."""

    name: str
    kind: str
    categories: list[Label]
    pattern: NotRequired[Text]


class StoredLayout(TypedDict, total=False):
    """The layout of a file of text, or the part of it that the user set."""

    separator: str
    header: bool
    names: list[str]
    decimal: str
    thousands: str
    encoding: str
    null_values: list[str]
    comment: str
    skip: Count
    sheet: Text


class StoredReading(TypedDict):
    """The reading of the table that a model was trained on."""

    given: StoredLayout
    layout: StoredLayout
    columns: list[str]
    targets: list[str]
    id: str | None
    weights: NotRequired[str]
    categorical: list[str]


class StoredEncoding(TypedDict):
    """The encoding of a table's columns as the model's features."""

    columns: list[EncodedColumn]
    mean: list[Finite]
    scale: list[Finite]
    fill: list[Finite] | None
    target: str
    classes: list[Label] | None
    reading: NotRequired[StoredReading]
    offset: NotRequired[list[Finite]]
    target_scale: NotRequired[Finite]
