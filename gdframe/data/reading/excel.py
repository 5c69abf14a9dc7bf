"""One sheet of an Excel file, as the text that it shows."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gdframe.data.reading.text_file import COPIES, FEWER
from gdframe.errors import UserError, in_words, printable, require_memory, unknown

FEW_CELLS = 1_000_000
"""Cells of an Excel sheet, empty ones too, that are read however small the file is."""


def read_excel(file: Path, sheet: str | None = None) -> tuple[list[list[Any]], tuple[str, ...]]:
    """Return the rows of a sheet of an Excel file, and a note if the file has several.

    Args:
        file: the Excel file.
        sheet: name of the sheet; by default the first.

    Raises:
        UserError: openpyxl is not installed, there is no such sheet, or it is empty.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise UserError(
            f"{file}: Excel files need an extra that is not installed: "
            "pip install 'gdframe[excel]', or save the sheet as CSV"
        ) from error
    with zipfile.ZipFile(file) as archive:
        size = sum(i.file_size for i in archive.infolist())
    require_memory(str(file), COPIES * size, FEWER)
    book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    try:
        sheets = {str(page.title): page for page in book.worksheets}
        if not sheets:
            raise UserError(f"{file}: has no sheet of cells: expected a header and rows")
        if sheet is not None and sheet not in sheets:
            raise unknown(f"data.sheet={sheet}", f"sheet in {file}", sheet, sheets)
        name = next(iter(sheets)) if sheet is None else sheet
        rows = _rows_of(file, sheets[name], max(FEW_CELLS, size))
    finally:
        book.close()
    others = f"; data.sheet=NAME reads another ({_listed(list(sheets))})" * (len(sheets) > 1)
    if not rows:
        raise UserError(
            f"{file}: its sheet {printable(name)!r} is empty: expected a header and rows{others}"
        )
    if len(sheets) == 1:
        return rows, ()
    said = f"sheet {printable(name)!r} of {len(sheets)} sheets is read ({_listed(list(sheets))})"
    return rows, (f"{said}; data.sheet=NAME reads another" if sheet is None else said,)


def _rows_of(file: Path, sheet: Any, most: int) -> list[list[Any]]:
    """Return the rows of a sheet that hold a value, all of one width."""
    rows, count, width = [], 0, 0
    sheet.reset_dimensions()  # what the file says of its size may be wrong
    for row in sheet.iter_rows(values_only=True):  # with empty rows and cells in the gaps
        count, width = count + 1, max(width, len(row))
        if count * max(1, width) > most:
            raise UserError(
                f"{file}: a cell lies far from the others, which leaves more than {most:,} empty "
                "ones between: delete it, or save the sheet as CSV"
            )
        if any(value is not None for value in row):
            rows.append(row)
    return [[*row, *[None] * (width - len(row))] for row in rows]


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" * (len(names) > most)
    return in_words(map(printable, names[:most])) + more


def cell_text(cell: Any) -> Any:
    """Return a cell of a sheet as text."""
    if isinstance(cell, (datetime.datetime, datetime.date)):
        return cell.isoformat(" ") if isinstance(cell, datetime.datetime) else cell.isoformat()
    return "" if cell is None else str(cell).lower() if isinstance(cell, bool) else cell
