"""Delimited text, such as CSV: DuckDB parses it once its layout is known."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from gdframe.data.reading.header import PLAIN_NUMBER, column_names, has_header
from gdframe.data.reading.layout import SEPARATORS, Layout
from gdframe.data.reading.parsers import MOST_LINE, Dialect, NotANumberError, ParsingError, parse
from gdframe.data.reading.sniff import Sniffed, sniff, split_blanks
from gdframe.data.reading.text_file import FEWER, text_file
from gdframe.errors import UserError, bad_value, counted, in_words, printable

MOST_COLUMNS = 120_000
"""Most columns of a file."""

HEAD = 1 << 18
"""Bytes of a text by which its layout is detected, or three lines if they are longer."""

LONG = 15
"""Digits from which on whole numbers are read as text first: floats might not hold them.

So are those with leading zeros, which floats lose.
"""

MOST_TRIES = 3
"""Columns of numbers that may turn out to be text one by one, each at the cost of a new pass."""


@dataclass(frozen=True)
class ParsedText:
    """A table as parsed.

    Args:
        columns: floats, or text in a dictionary, by name; nulls are missing values.
        layout: complete: set by the user or detected.
        notes: on what was detected, a sentence each.
        has_corner: whether a header names all columns but the first.
    """

    columns: dict[str, pa.ChunkedArray]
    layout: Layout
    notes: tuple[str, ...]
    has_corner: bool = False


@dataclass(frozen=True)
class _Plan:
    """The rules by which the text is parsed."""

    names: list[str]
    layout: Layout
    sample: Sequence[Sequence[str]]
    rewrite: Sniffed | None
    has_header: bool
    notes: tuple[str, ...]
    has_corner: bool


def parse_text(file: Path, layout: Layout, *, text: Sequence[str] = (),
               known: Sequence[Sequence[str]] = ()) -> ParsedText:  # fmt: skip
    """Read a file of delimited text.

    Args:
        file: the file, compressed or not.
        layout: what the user has set.
        text: columns to leave as text, even if their values look like numbers.
        known: possible names of all columns, as in an earlier file, for one without a header.

    Raises:
        UserError: the file is no text, is malformed, does not fit in memory, or has no rows.
    """
    with text_file(file, layout.encoding) as source:
        lines = _head_of(source.path)
        if not any(line.strip() for line in lines):
            raise bad_value(f"{file} has no rows", "a header and at least one row", "it is empty")
        plan = _plan(file, lines, replace(layout, encoding=source.encoding), known)
        with _rewritten(source.path, plan) as path:
            columns, notes = _parse(file, path, plan, text, source.lines + 1)
    told = (*source.notes, *plan.notes, *notes)
    return ParsedText(columns, plan.layout, told, plan.has_corner)


def _head_of(path: Path) -> list[str]:
    """Return the first lines of a text, whole ones but for the last of a long one."""
    lines, size = list[str](), 0
    with path.open("rb") as stream:
        while (size < HEAD or len(lines) < 3) and (line := stream.readline(MOST_LINE)):
            lines.append(line.decode(errors="replace").rstrip("\r\n"))
            size += len(line)
    if lines:
        lines[0] = lines[0].removeprefix("\ufeff")
    return lines


def _plan(file: Path, lines: list[str], layout: Layout, known: Sequence[Sequence[str]]) -> _Plan:
    sniffed = sniff(lines, layout)
    rows, notes = list(sniffed.rows), list[str]()
    if not rows:
        raise bad_value(f"{file} has no rows", "a header and at least one row")
    width = _width_of(rows, True)
    if width > MOST_COLUMNS:
        raise UserError(f"{file}: has {width:,} columns; at most {MOST_COLUMNS:,} are read")
    header = layout.header
    if header is None:
        header = layout.names is None and has_header(rows, layout)
    if header:
        sniffed = replace(sniffed, header=None)
    width = _width_of(rows, header)
    texts = list(rows[0]) if header else list(sniffed.header or ())
    if header and width > len(texts):
        texts = [""] * (width - len(texts)) + texts
        notes.append("the header names all columns but the first, which is read as the rows' names")
    if not header and not texts and layout.names is None:
        texts = list(next((names for names in known if len(names) == width), ()))
    if layout.names is not None:
        if len(layout.names) != width:
            raise bad_value(
                f"names=[{','.join(layout.names[:5])}{',...' if len(layout.names) > 5 else ''}]",
                f"{counted(width, 'name')}, one for each column, instead of {len(layout.names)}",
            )
        texts = list(layout.names)
    has_corner = bool(texts) and not texts[0].strip() and any(map(str.strip, texts))
    names, changed = column_names(texts, width)
    notes += changed
    if sniffed.skipped:
        notes.append(
            f"{counted(len(sniffed.skipped), 'line')} before the table left out, such as "
            f"{sniffed.skipped[0][:60]!r}; data.skip=0 keeps them"
        )
    if sniffed.comment and layout.comment is None:
        notes.append(f"lines that begin with '{sniffed.comment}' left out; data.comment sets this")
    if layout.header is None and layout.names is None and not texts:
        notes.append(
            f"the table has no header: its columns are called c1 to c{width}; if the first row "
            "holds names, set data.header=true"
        )
    elif sniffed.header is not None and layout.names is None:
        notes.append(f"the names of the columns are in a comment: {in_words(names[:5])}")
    if sniffed.separator != "," and layout.separator is None:
        called = SEPARATORS.get(sniffed.separator, repr(sniffed.separator))
        notes.append(f"{called} separate the values")
    is_ragged = bool(header and len(rows[0]) != width)
    must_rewrite = sniffed.separator == " " or sniffed.comment or sniffed.skipped or layout.skip
    complete = replace(
        layout, separator=sniffed.separator, header=bool(header), comment=sniffed.comment or None
    )
    return _Plan(
        names, complete, rows[1:] if header else rows,
        sniffed if must_rewrite or is_ragged else None, bool(header), tuple(notes), has_corner,
    )  # fmt: skip


def _width_of(rows: Sequence[Sequence[str]], header: bool) -> int:
    """Return the number of columns: that of most rows, or of the header in a tie."""
    data = rows[1:] if header else rows
    if not data:
        return len(rows[0])
    counts = Counter(len(row) - (len(row) == len(rows[0]) + 1 and not row[-1]) for row in data)
    return max(counts, key=lambda width: (counts[width], width == len(rows[0])))


@contextmanager
def _rewritten(path: Path, plan: _Plan) -> Iterator[Path]:
    """Write the rows alone, without a header, if DuckDB could not tell them from the rest."""
    if plan.rewrite is None:
        yield path
        return
    sniffed, separator = plan.rewrite, plan.layout.separator or ","
    left_out = len(sniffed.skipped) + plan.has_header
    with TemporaryDirectory(prefix="gdframe-") as folder:
        copy = Path(folder) / "rows.txt"
        with (
            path.open(encoding="utf-8-sig", newline="\n") as lines,
            copy.open("w", encoding="utf-8", newline="") as out,
        ):
            writer = csv.writer(out, delimiter="\t", lineterminator="\n")
            for number, line in enumerate(lines):
                text = line.strip()
                is_comment = sniffed.comment and text.startswith(sniffed.comment)
                if number < (plan.layout.skip or 0) or not text or is_comment:
                    continue
                if left_out:
                    left_out -= 1
                elif separator == " ":
                    writer.writerow(split_blanks(line))
                else:
                    out.write(f"{line.rstrip()}\n" if separator != "\t" else line)
        yield copy


def _parse(
    file: Path, path: Path, plan: _Plan, text: Sequence[str], most_rows: int
) -> tuple[dict[str, pa.ChunkedArray], list[str]]:
    """Return the columns, and notes; a column that holds other values than numbers is text."""
    are_numbers = _are_numbers(plan, set(text))
    is_split = plan.rewrite is not None and plan.layout.separator == " "
    dialect = Dialect(
        path, "\t" if is_split else plan.layout.separator or ",",
        plan.has_header and plan.rewrite is None, plan.layout.markers, most_rows,
    )  # fmt: skip
    notes, tries = list[str](), 0
    while True:
        try:
            columns = parse(dialect, are_numbers)
            break
        except NotANumberError as error:
            tries += 1
            are_numbers[error.place] = False
            if tries > MOST_TRIES:
                are_numbers = [False] * len(are_numbers)
        except ParsingError as error:
            if not (error.is_about_quotes and dialect.quote):
                raise _malformed(file, dialect, plan, error) from error
            dialect = replace(dialect, quote="")
            notes.append("a quote does not end: quotes are read as any other character")
        except MemoryError as error:
            raise UserError(f"{file}: needs more memory than is free; {FEWER}") from error
    if not columns or len(columns[0]) == 0:
        raise bad_value(f"{file} has no rows", "a header and at least one row")
    return dict(zip(plan.names, columns, strict=True)), notes


def _are_numbers(plan: _Plan, text: set[str]) -> list[bool]:
    """Return whether each column is read as numbers, by the first rows; else as text."""
    markers = set(plan.layout.markers)
    plain = plan.layout.decimal in (None, ".") and plan.layout.thousands is None
    return [
        plain
        and name not in text
        and all(
            _is_short_number(value)
            for row in plan.sample
            if place < len(row) and (value := row[place].strip()) not in markers
        )
        for place, name in enumerate(plan.names)
    ]


def _is_short_number(value: str) -> bool:
    is_whole = value.lstrip("+-").isdigit()
    is_code = is_whole and (len(value) >= LONG or (value[0] == "0" and len(value) > 1))
    return not is_code and PLAIN_NUMBER.fullmatch(value) is not None


def _malformed(file: Path, dialect: Dialect, plan: _Plan, error: Exception) -> UserError:
    """Return the error for the first line with another number of values than the header."""
    separator, path = dialect.separator, dialect.path
    width = len(plan.names)
    whose = "the header has" if plan.has_header else "the others have"
    called = SEPARATORS.get(plan.layout.separator or "", repr(separator))
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        reader = csv.reader(stream, delimiter=separator)
        try:
            for row in reader:
                if row and len(row) != width and not (len(row) == width + 1 and not row[-1]):
                    shown = printable(separator.join(row))[:80]
                    place = "line" if plan.rewrite is None else "row"
                    return UserError(
                        f"{file}: {place} {reader.line_num} has {counted(len(row), 'value')}, and "
                        f"{whose} {counted(width, 'column')} (read with {called} between values: "
                        f"{shown!r}): correct this line, or set data.separator, data.skip or "
                        "data.comment"
                    )
        except csv.Error:
            pass
    reason = re.sub(r"Possible (fixes|solutions):.*", "", str(error), flags=re.DOTALL)
    return UserError(
        f"{file} cannot be read: {printable(' '.join(reason.split()))[:300]}; set data.separator, "
        "data.skip or data.encoding"
    )
