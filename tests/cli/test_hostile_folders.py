"""Folders that somebody has prepared: one message each, in little time and memory."""

from __future__ import annotations

import csv
import json
import os
import resource
import shutil
import time
import tracemalloc
import zipfile
from pathlib import Path

import command
import pyarrow as pa
import pytest
import torch
import yaml
from pyarrow import feather
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gdframe.data.reading.columnar import FEW_CELLS, read_excel
from gdframe.errors import UserError, unknown
from gdframe.runs import event_reader
from gdframe.runs.event_file import EventFile
from gdframe.runs.folder import Folder
from gdframe.runs.history_table import HistoryTable
from gdframe.runs.packing import TEXT, unpack


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on a table, with a checkpoint."""
    folder = tmp_path_factory.mktemp("hostile")
    lines = ["a,b,y", *(f"{i % 7},{i % 5},{2 * (i % 7) - i % 5}" for i in range(60))]
    (folder / "t.csv").write_text("\n".join(lines))
    words = ["data=table", f"data.path={folder / 't.csv'}", "data.target=y", "lr=0.05", "epochs=2"]
    assert command.call([*words, "hydra.run.dir=run"], folder, {}) == 0
    return folder


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A folder with a run on a table whose rows have names."""
    folder = tmp_path_factory.mktemp("named") / "cwd"
    folder.mkdir()
    lines = ["a,b,name,y", *(f"{i % 7},{i % 5},row {i},{2 * (i % 7) - i % 5}" for i in range(60))]
    (folder / "t.csv").write_text("\n".join(lines))
    words = ["data=table", "data.path=t.csv", "data.target=y", "data.id=name", "lr=0.05"]
    assert command.call([*words, "epochs=2", "hydra.run.dir=run"], folder, {}) == 0
    return folder


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "run")
    shutil.copy(trained / "t.csv", tmp_path / "t.csv")
    return tmp_path / "run"


def assert_refused(done, *words):
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err


def change_result(run, **fields):
    path = run / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def change_tensors(path, change):
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors, metadata)
    save_file(tensors, path, metadata)


def checkpoint_of(run):
    (path,) = (run / "checkpoint").glob("*.safetensors")
    return path


@pytest.mark.parametrize("value", [
    torch.tensor(3 * 10**9), torch.tensor(2**63 - 1), torch.zeros(2, 2, dtype=torch.uint8),
    torch.zeros(3),
])  # fmt: skip
def test_a_number_in_place_of_text_takes_no_memory(value):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="not text"):
        unpack({TEXT: value})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


@pytest.mark.parametrize(("name", "value"), [
    ("skip", "abc"), ("separator", 5), ("zzz", 5), ("names", 5), ("encoding", ["a"]),
])  # fmt: skip
def test_a_damaged_reading_of_a_model_is_refused(gdframe, run, name, value):
    def change(tensors, metadata):
        encoding = json.loads(metadata["encoding"])
        encoding["reading"]["given"][name] = value
        metadata["encoding"] = json.dumps(encoding)

    change_tensors(run / "model.safetensors", change)
    assert_refused(gdframe("predict", str(run), "t.csv"), name)


@pytest.mark.parametrize("verb", ["report", "watch", "landscape", "resume"])
def test_a_run_that_has_begun_has_a_rate(gdframe, run, verb):
    path = run / ".hydra" / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"lr": "auto"}))
    assert_refused(gdframe(verb, str(run)), "config.yaml", "lr is auto")


def test_a_report_survives_a_confusion_of_another_size_and_a_long_point(gdframe, run):
    change_result(
        run, confusion={"classes": ["a"], "validation": [[1, 2, 3]]}, point=[0.0] * 300_000
    )
    done = gdframe("report", str(run), "--no-landscape")
    assert done.code == 0, done.err
    page = (run / "report.html").read_text()
    assert len(page) < 5_000_000
    assert "50 of 300,000 coordinates" in page


@pytest.mark.parametrize(("header", "secret"), [("user,token\nme,ghp_TOPSECRET", "ghp_TOPSECRET")])
def test_a_report_does_not_quote_a_file_that_the_folder_names(gdframe, run, header, secret):
    (run.parent / "secret").write_text(f"{secret},{secret}2\n1,2\n3,4\n")
    path = run / ".hydra" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["data"]["path"] = str(run.parent / "secret")
    path.write_text(yaml.safe_dump(config))
    done = gdframe("report", str(run))
    assert done.code == 0
    assert secret not in (run / "report.html").read_text()
    assert secret in done.err  # to the user, who may read the file


def facts_changed(change):
    def apply(tensors, metadata):
        content = json.loads(metadata["facts"])
        change(content)
        metadata["facts"] = json.dumps(content)

    return apply


def packed(value):
    return torch.frombuffer(bytearray(json.dumps(value), "ascii"), dtype=torch.uint8)


def with_text(value):
    return lambda tensors, metadata: tensors.__setitem__(TEXT, packed(value))


GROUPS = [
    {"params": {"list": [1]}}, {"lr": {"list": [1]}}, {"lr": 5.0}, {"clip_norm": "x"},
]  # fmt: skip


@pytest.mark.parametrize("change", [
    facts_changed(lambda facts: facts["stopping"].update(improvement={})),
    facts_changed(lambda facts: facts["stopping"]["improvement"].update(looks=1e308)),
    lambda tensors, metadata: tensors.__setitem__(
        "diagnosis.largest", torch.tensor(float("inf"), dtype=torch.float64)),
    with_text({"optimizer.0.number.x": 5}),
    *(with_text({"optimizer.groups": {"list": [{"dict": [[k, v]]}]}})
      for group in GROUPS[:3] for k, v in group.items()),
])  # fmt: skip
def test_a_checkpoint_that_does_not_fit_is_refused_and_the_result_stays(gdframe, run, change):
    path, before = checkpoint_of(run), (run / "result.json").read_bytes()
    change_tensors(path, change)
    done = gdframe("resume", str(run), "epochs=4")
    assert_refused(done)
    assert (run / "result.json").read_bytes() == before


def test_columns_of_a_checkpoint_are_no_formulas_in_history(tmp_path):
    names = ["step", '=HYPERLINK("x")\x1b[2J', "@sum"]
    for step in (0, 1):  # a resumed run keeps the rows
        table = HistoryTable(Folder(tmp_path), names, step)
        table.add({"step": step, names[1]: 5.0 + step, names[2]: 1.0})
        table.close()
    header, *rows = csv.reader((tmp_path / "history.csv").read_text().splitlines())
    assert header == ["step", '\'=HYPERLINK("x")\\x1b[2J', "'@sum"]
    assert rows == [["0", "5.0", "1.0"], ["1", "6.0", "1.0"]]


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
    assert len(read_excel(workbook(tmp_path / "t.xlsx", "A1", "C7"))) == 2
    assert FEW_CELLS >= 1_000_000


def test_a_wrong_dimension_of_a_sheet_hides_no_row(tmp_path):
    pytest.importorskip("openpyxl")
    path = workbook(tmp_path / "t.xlsx", "A1", "B2", "A3", "C6")
    whole = read_excel(path)
    assert [len(row) for row in whole] == [3, 3, 3, 3]
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"]
    for ref in (b"A1", b"A1:B2", b"A1:ZZ99"):
        said = b'<dimension ref="' + ref + b'"/><sheetData>'
        parts["xl/worksheets/sheet1.xml"] = sheet.replace(b"<sheetData>", said)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        assert read_excel(path) == whole


def test_placeholders_in_the_settings_of_a_sweep_are_refused(gdframe, tmp_path):
    assert gdframe("-m", "seed=0,1", "lr=0.01", "epochs=1", "sweep.dir=s").code == 0
    path = tmp_path / "s" / "sweep.json"
    content = json.loads(path.read_text())
    content["bases"][0]["hydra"] += "  zz: [" + ", GDFRAME_OVERRIDES" * 50 + "]\n"
    path.write_text(json.dumps(content))
    for verb in ("resume", "report"):
        assert_refused(gdframe(verb, "s"), "sweep.json")


def test_long_names_are_not_compared():
    begun = time.perf_counter()
    error = unknown("x", "column", "ab" * 50_000, ["ba" * 50_000, "y"])
    assert time.perf_counter() - begun < 5
    assert "did you mean" not in str(error)


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["=cmd|x", "@b"], pa.large_string()),
        pa.array(["=cmd|x", "@b"], pa.string_view()),
        pa.array([b"=cmd|x", b"@b"]),
        pa.array(["=cmd|x", "@b"]).dictionary_encode(),
    ],
    ids=lambda array: str(array.type),
)
def test_names_of_rows_are_no_formulas(gdframe, named, array):
    table = pa.table({"a": [1.0, 2], "b": [0.0, 1], "name": array})
    feather.write_feather(table, named / "new.feather", compression="uncompressed")
    done = gdframe("predict", "run", "new.feather", "--output", "p.csv", cwd=named)
    assert done.code == 0, done.err
    _, *rows = csv.reader((named / "p.csv").read_text().splitlines())
    assert [row[0] for row in rows] == ["'=cmd|x", "'@b"]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([[1], [2]]),
        pa.array([{"x": 1}, {"x": 2}]),
        pa.array([b"\xff", b"\xfe"]),
        pa.array([0, 1], pa.timestamp("s", tz="No/Where")),
    ],
    ids=lambda array: str(array.type)[:12],
)
def test_names_of_rows_of_another_kind_are_refused(gdframe, named, array):
    table = pa.table({"a": [1.0, 2], "b": [0.0, 1], "name": array})
    feather.write_feather(table, named / "new.feather", compression="uncompressed")
    for output in ([], ["--output", "p.csv"], ["--output", "p.parquet"]):
        done = gdframe("predict", "run", "new.feather", *output, cwd=named)
        assert_refused(done, "column 'name'")


def test_a_file_without_a_column_is_told_so(gdframe, named):
    (named / "less.csv").write_text("a,name\n1,x\n2,y\n")
    done = gdframe("predict", "run", "less.csv", cwd=named)
    assert_refused(done, "column 'b' of less.csv: there is no such column")
    assert "the model cannot be used" not in done.err


def test_curves_without_end_are_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(event_reader, "MOST_CURVES", 3)
    monkeypatch.setattr(event_reader, "MOST_POINTS", 10)
    for tags, expected in ((["a", "b", "c", "d"], 3), (["a"] * 30, 1)):
        path = tmp_path / str(expected)
        file = EventFile(path.open("wb"), is_new=True)
        for step, tag in enumerate(tags):
            file.scalars({tag: 1.0}, step)
        file.close()
        damages: list[str] = []
        curves = event_reader.read_curves([path], damages)
        assert len(curves) == expected
        assert sum(len(x) for x, _ in curves.values()) <= 10
        assert "the first are used" in damages[0]


def test_a_long_history_is_read_a_row_at_a_time(tmp_path):
    (tmp_path / "history.csv").write_text("step\n" + "1\n" * 200_000)
    tracemalloc.start()
    HistoryTable(Folder(tmp_path), ["step"], 5).close()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * (tmp_path / "history.csv").stat().st_size


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("swept")
    words = ["-m", "lr=0.01,0.02", "epochs=2", "hydra.sweep.dir=sweep"]
    assert command.call(words, folder, {}) == 0
    return folder / "sweep"


@pytest.mark.parametrize("verb", ["resume", "report"])
@pytest.mark.parametrize("depth", [60, 900, 100_000])
def test_a_deep_result_in_a_sweep_is_damaged(gdframe, swept, tmp_path, verb, depth):
    sweep = shutil.copytree(swept, tmp_path / "sweep")
    path = sweep / "0" / "result.json"
    text = path.read_text().rstrip().removesuffix("}")
    path.write_text(f'{text}, "x": {"[" * depth}{"]" * depth}}}')
    done = gdframe(verb, str(sweep))
    assert done.code == 0
    said = (sweep / "report.html").read_text() if verb == "report" else done.out + done.err
    assert "nested too deeply" in said
    assert "Traceback" not in done.err


def test_a_folder_whose_name_is_no_text_is_reported(gdframe, swept, tmp_path):
    sweep = shutil.copytree(swept, tmp_path / "sweep")
    (sweep / "sweep.json").unlink()
    (sweep / "0").rename(sweep / os.fsdecode(b"\xff0"))
    assert gdframe("report", str(sweep)).code == 0
    assert "\\udcff0" in (sweep / "report.html").read_text()
