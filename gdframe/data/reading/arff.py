"""ARFF, the format of Weka: attributes with types, then rows of delimited text."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from gdframe.data.reading.arff_attribute import Attribute, attribute_in, values_in
from gdframe.data.reading.columnar import require_columns
from gdframe.data.reading.sniff import MOST_FIELD
from gdframe.data.reading.text_file import FEWER, TextFile
from gdframe.errors import UserError, counted, require_memory

BYTES_OF_CELL = 64
"""Bytes of memory that a value takes until it is a number."""


def is_arff(lines: list[str]) -> bool:
    """Return whether the first lines of a text are those of an ARFF file."""
    heads = [line.split(None, 1)[0].lower() for line in lines if line.strip()]
    words = [head for head in heads if not head.startswith("%")]
    return bool(words) and words[0] in ("@relation", "@attribute")


def read_arff(file: Path, source: TextFile) -> tuple[pa.Table, tuple[str, ...]]:
    """Return the columns of an ARFF file, and the names of its nominal attributes.

    ``?`` is a missing value. A nominal attribute is text, also where its labels are numerals.

    Raises:
        UserError: a row has another number of values than there are attributes, or the values do
            not fit in memory.
    """
    attributes: list[Attribute] = []
    rows: list[list[str | None]] = []
    in_data = False
    csv.field_size_limit(MOST_FIELD)
    with source.path.open(encoding="utf-8", newline="") as stream:
        for number, raw in enumerate(stream, start=1):
            line = raw.strip()
            if not line or line.startswith("%"):
                continue
            if in_data:
                rows.append(_row(file, number, line, attributes))
            elif line.lower().startswith("@data"):
                in_data = True
                require_columns(file, len(attributes))
                cells = len(attributes) * (source.lines - number + 1)  # a sparse row is short
                require_memory(str(file), BYTES_OF_CELL * cells, FEWER)
            elif attribute := attribute_in(line):
                attributes.append(attribute)
    if not rows:
        raise UserError(f"{file} has no rows: expected lines of values after @data")
    columns = {}
    for place, attribute in enumerate(attributes):
        values = [row[place] for row in rows]
        if attribute.is_number:
            try:
                columns[attribute.name] = pa.array(
                    [None if v is None else float(v) for v in values], pa.float64()
                )
                continue
            except ValueError:
                pass
        columns[attribute.name] = pa.array(values, pa.string()).dictionary_encode()
    return pa.table(columns), tuple(a.name for a in attributes if a.labels)


def _row(file: Path, number: int, line: str, attributes: Sequence[Attribute]) -> list[str | None]:
    if line.startswith("{"):  # values that are not zero, by place
        values: list[str | None] = [attribute.zero for attribute in attributes]
        for part in line.strip("{}").split(","):
            place, _, value = part.strip().partition(" ")
            if not place.isdigit() or int(place) >= len(attributes):
                raise UserError(f"{file}: line {number} has no attribute {place}: correct it")
            values[int(place)] = value.strip("'\" ")
        return [None if value == "?" else value for value in values]
    read = values_in(line)
    if len(read) != len(attributes):
        raise UserError(
            f"{file}: line {number} has {counted(len(read), 'value')}, and there are "
            f"{counted(len(attributes), 'attribute')}: correct this line"
        )
    return [None if value in ("?", "") else value for value in read]
