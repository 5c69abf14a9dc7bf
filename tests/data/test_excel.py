"""Sheets of Excel whose size is not what it seems."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

import gdframe as gd
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


def sheets(path, **tables):
    """Write an Excel file of sheets, each a list of rows."""
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in tables.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return str(path)


def months(path, *names):
    """Write sheets in which the slope of y is 1, 2, ..."""
    rows = {name: [["x", "y"], *([i, (n + 1) * i + 0.5] for i in range(40))]
            for n, name in enumerate(names)}  # fmt: skip
    return sheets(path, **rows)


def test_one_sheet_is_read_and_told(tmp_path):
    pytest.importorskip("openpyxl")
    path = months(tmp_path / "t.xlsx", "Jan", "Feb", "2024")
    frame = gd.Table(path=path, target="y").read()
    assert frame.target[1] == 1.5
    assert frame.notes[1] == (
        "sheet 'Jan' of 3 sheets is read (Jan, Feb, 2024); data.sheet=NAME reads another"
    )
    for sheet, value in (("Jan", 1.5), ("Feb", 2.5), (2024, 3.5)):
        frame = gd.Table(path=path, target="y", sheet=sheet).read()
        assert frame.target[1] == value
        assert f"sheet '{sheet}' of 3 sheets is read (Jan, Feb, 2024)" in frame.notes
    assert len(gd.Table(path=months(tmp_path / "one.xlsx", "Jan"), target="y").read().notes) == 1


def test_a_sheet_that_does_not_exist_is_refused(tmp_path):
    pytest.importorskip("openpyxl")
    path = months(tmp_path / "t.xlsx", "Jan", "Feb")
    with pytest.raises(UserError, match=r"data.sheet=Fev: .*did you mean 'Feb'.*from Jan, Feb"):
        gd.Table(path=path, target="y", sheet="Fev").read()
    (tmp_path / "t.csv").write_text("x,y\n1,2\n2,3\n")
    with pytest.raises(UserError, match=r"data.sheet=Jan: .*t.csv is no Excel file"):
        gd.Table(path=str(tmp_path / "t.csv"), target="y", sheet="Jan").read()
    with pytest.raises(UserError, match="a query reads no Excel file"):
        gd.Table(query="SELECT 1", target="y", sheet="Jan")
    empty = sheets(tmp_path / "empty.xlsx", Notes=[], Data=[["x", "y"], [1, 2], [2, 4]])
    with pytest.raises(UserError, match=r"sheet 'Notes' is empty.*data.sheet=NAME.*Notes, Data"):
        gd.Table(path=empty, target="y").read()


def test_an_excel_file_without_features_says_nothing_of_separators(tmp_path):
    pytest.importorskip("openpyxl")
    path = sheets(tmp_path / "t.xlsx", Data=[["y"], [1.5], [2.5], [3.5]])
    with pytest.raises(UserError, match="no features besides the target") as caught:
        gd.Table(path=path, target="y").read()
    assert "separator" not in str(caught.value)


def test_predict_reads_the_same_sheet(tmp_path):
    pytest.importorskip("openpyxl")
    path = months(tmp_path / "t.xlsx", "Jan", "Feb")
    words = ["data=table", f"data.path={path}", "data.target=y", "data.sheet=Feb"]
    gd.train(*words, "lr=0.5", "variant=batch", "epochs=100", folder=tmp_path / "run")
    new = months(tmp_path / "new.xlsx", "Other", "Feb")
    predicted = gd.predict(tmp_path / "run", new).column(0).to_numpy()
    np.testing.assert_allclose(predicted, [2 * i + 0.5 for i in range(40)], atol=1e-3)
    (tmp_path / "new.csv").write_text("x\n1\n2\n")  # which has no sheets
    np.testing.assert_allclose(
        gd.predict(tmp_path / "run", tmp_path / "new.csv").column(0), [2.5, 4.5], atol=1e-3
    )
    with pytest.raises(UserError, match=r"data.sheet=Feb: there is no such sheet"):
        gd.predict(tmp_path / "run", months(tmp_path / "jan.xlsx", "Jan", "Mar"))
