"""Sheets of Excel whose size is not what it seems."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from gdframe.data.reading.excel import FEW_CELLS, read_excel
from gdframe.errors import UserError

SHEET = '<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>'


def workbook(path: Path, *cells: str) -> Path:
    """Write an Excel file with numbers in these cells, in the order of rows."""
    import openpyxl

    openpyxl.Workbook().save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    rows = [(cell, "".join(filter(str.isdigit, cell))) for cell in cells]
    body = "".join(f'<row r="{n}"><c r="{cell}"><v>1</v></c></row>' for cell, n in rows)
    parts["xl/worksheets/sheet1.xml"] = SHEET.format(body).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def test_a_cell_far_from_the_others_is_refused(tmp_path):
    pytest.importorskip("openpyxl")
    for cells in (("A1", "XFD1048576"), ("A1", "A1000000000"), [f"XFD{i}" for i in range(1, 200)]):
        with pytest.raises(UserError, match="far from the others"):
            read_excel(workbook(tmp_path / "t.xlsx", *cells))
    assert len(read_excel(workbook(tmp_path / "t.xlsx", "A1", "C7"))[0]) == 2
    assert FEW_CELLS >= 1_000_000


def test_a_wrong_dimension_of_a_sheet_hides_no_row(tmp_path):
    pytest.importorskip("openpyxl")
    path = workbook(tmp_path / "t.xlsx", "A1", "B2", "A3", "C6")
    whole, notes = read_excel(path)
    assert [len(row) for row in whole] == [3, 3, 3, 3]
    assert notes == ()
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"]
    for ref in (b"A1", b"A1:B2", b"A1:ZZ99"):
        said = b'<dimension ref="' + ref + b'"/><sheetData>'
        parts["xl/worksheets/sheet1.xml"] = sheet.replace(b"<sheetData>", said)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        assert read_excel(path) == (whole, ())
