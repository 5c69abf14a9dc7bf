"""ARFF, the format of Weka: attributes with types, then rows of delimited text."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pyarrow as pa

from gdframe.data.reading.columnar import require_columns
from gdframe.data.reading.sniff import MOST_FIELD
from gdframe.data.reading.text_file import FEWER, TextFile
from gdframe.errors import UserError, counted, require_memory

BYTES_OF_CELL = 64
"""Bytes of memory that a value takes until it is a number."""

ATTRIBUTE = re.compile(r"""@attribute\s+('(?:[^'\\]|\\.)*'|"[^"]*"|\S+)\s+(.*)""", re.IGNORECASE)


def is_arff(lines: list[str]) -> bool:
    """Return whether the first lines of a text are those of an ARFF file."""
    heads = [line.split(None, 1)[0].lower() for line in lines if line.strip()]
    words = [head for head in heads if not head.startswith("%")]
    return bool(words) and words[0] in ("@relation", "@attribute")


def read_arff(file: Path, source: TextFile) -> pa.Table:
    """Return the columns of an ARFF file; ``?`` is a missing value.

    Raises:
        UserError: a row has another number of values than there are attributes, or the values do
            not fit in memory.
    """
    names: list[str] = []
    numeric: list[bool] = []
    rows: list[list[str | None]] = []
    in_data = False
    csv.field_size_limit(MOST_FIELD)
    with source.path.open(encoding="utf-8", newline="") as stream:
        for number, raw in enumerate(stream, start=1):
            line = raw.strip()
            if not line or line.startswith("%"):
                continue
            if in_data:
                rows.append(_row(file, number, line, names))
            elif line.lower().startswith("@data"):
                in_data = True
                require_columns(file, len(names))
                cells = len(names) * (source.lines - number + 1)  # a sparse row takes few bytes
                require_memory(str(file), BYTES_OF_CELL * cells, FEWER)
            elif match := ATTRIBUTE.match(line):
                names.append(re.sub(r"\\(.)", r"\1", match[1].strip("'\"")))
                numeric.append(match[2].split()[0].lower() in ("numeric", "real", "integer"))
    if not rows:
        raise UserError(f"{file} has no rows: expected lines of values after @data")
    columns = {}
    for place, (name, is_number) in enumerate(zip(names, numeric, strict=True)):
        values = [row[place] for row in rows]
        if is_number:
            try:
                columns[name] = pa.array(
                    [None if v is None else float(v) for v in values], pa.float64()
                )
                continue
            except ValueError:
                pass
        columns[name] = pa.array(values, pa.string()).dictionary_encode()
    return pa.table(columns)


def _row(file: Path, number: int, line: str, names: list[str]) -> list[str | None]:
    if line.startswith("{"):  # values that are not zero, by place
        values: list[str | None] = ["0"] * len(names)
        for part in line.strip("{}").split(","):
            place, _, value = part.strip().partition(" ")
            if not place.isdigit() or int(place) >= len(names):
                raise UserError(f"{file}: line {number} has no attribute {place}: correct it")
            values[int(place)] = value.strip("'\" ")
        return [None if value == "?" else value for value in values]
    quote = "'" if "'" in line else '"'
    reader = csv.reader([line], quotechar=quote, escapechar="\\", skipinitialspace=True)
    read = [value.strip() for value in next(reader)]
    if len(read) != len(names):
        raise UserError(
            f"{file}: line {number} has {counted(len(read), 'value')}, and there are "
            f"{counted(len(names), 'attribute')}: correct this line"
        )
    return [None if value in ("?", "") else value for value in read]
