"""Files and settings that ask for more memory or time than there is: refused before it is taken."""

from __future__ import annotations

import gzip
import json
import struct
from itertools import product

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml
from command import fork
from thinned import thinned

import gdframe as gd
from gdframe.cli.main import main
from gdframe.cli.report import report
from gdframe.data.reader import read_file
from gdframe.errors import UserError
from gdframe.runs.folder import MOST_BYTES, DamagedError, Folder
from gdframe.runs.run_folder import CONFIG, HYDRA_CONFIG, OVERRIDES, PLUGINS, RunFolder

TERABYTE = 1 << 40

SMALL = 5e6
"""Bytes of free memory in these tests."""


@pytest.fixture
def small_memory(monkeypatch):
    for module in ("errors", "data.reading.text_file"):
        monkeypatch.setattr(f"gdframe.{module}.free_memory", lambda: SMALL)


@pytest.fixture
def table(tmp_path):
    rows = [f"{i},{2 * i + 1}" for i in range(30)]
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *rows]))
    words = ("data=table", f"data.path={tmp_path}/t.csv", "data.target=y", "epochs=2")
    return gd.train(*words, "variant=batch", folder=tmp_path / "run").folder


def zeros(path, rows):
    """Write a small file with many zeros."""
    if path.suffix == ".parquet":
        column = np.zeros(rows)
        pa.parquet.write_table(pa.table({"x": column, "y": column}), path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(b"x,y\n" + b"0,0\n" * rows))
    else:
        path.write_bytes(b"x,y\n" + b",\n" * rows)


@pytest.mark.parametrize("name", ["t.parquet", "t.csv.gz", "t.csv"])
def test_a_table_that_does_not_fit_is_refused(tmp_path, name, small_memory):
    zeros(tmp_path / name, 1000)
    assert read_file(tmp_path / name).table.num_rows == 1000
    zeros(tmp_path / name, 200_000)
    assert (tmp_path / name).stat().st_size < SMALL / 10
    with pytest.raises(UserError, match="free; give a file with fewer rows or columns"):
        read_file(tmp_path / name)


def test_a_malformed_table_that_does_not_fit_is_refused(tmp_path, small_memory):
    content = b"x,y\n0,0,0\n" + b"0,0\n" * 1_000_000
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(content))
    with pytest.raises(UserError, match="fewer rows or columns"):
        read_file(tmp_path / "t.csv.gz")


@pytest.mark.parametrize("name", ["large.parquet", "t.csv.gz"])
def test_a_report_expands_no_large_table(table, tmp_path, name, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    zeros(tmp_path / name, 6_000_000 if name == "large.parquet" else 100)
    assert (tmp_path / name).stat().st_size < 1e6
    path = table / CONFIG
    path.write_text(path.read_text().replace(f"{tmp_path}/t.csv", f"~/{name}"))
    monkeypatch.setattr("gdframe.data.reader.read_file", None)
    assert "it needs another training of the run" in report(table).read_text()


@pytest.mark.parametrize(
    ("path", "verb"),
    thinned(
        product(
            ["~nosuchuser/t.csv", '"a\\0b.csv"', "/dev/zero", "none.parquet"],
            ["report", "watch", "resume"],
        ),
        5,
    ),
)
def test_a_path_that_names_no_file_is_a_message(table, tmp_path, path, verb, capsys):
    config = table / CONFIG
    config.write_text(config.read_text().replace(f"{tmp_path}/t.csv", path))
    assert main([verb, str(table)]) == (2 if verb == "resume" else 0)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("model=mlp", "model.hidden=[1000]"),  # its parameters fit, its activations do not
        pytest.param(("model=polynomial", "model.degree=3"), marks=pytest.mark.slow),
    ],
)
def test_activations_that_do_not_fit_are_refused(words, tmp_path, small_memory):
    words = ("data=regression", "data.features=20", "variant=batch", "engine=eager", *words)
    with pytest.raises(UserError, match=r"on 1,600 rows at a time: needs about"):
        gd.train(*words, "data.rows=2000", "epochs=1", folder=tmp_path / "run")
    small = gd.train(*words, "data.rows=100", "epochs=1", folder=tmp_path / "run")
    assert small.status == "max_epochs"


def test_a_path_that_does_not_fit_is_left_out(tmp_path, monkeypatch, capsys):
    words = ("model=mlp", "model.hidden=[999]", "variant=batch", "epochs=30", "lr=1e-3")
    folder = gd.train(*words, "stopping.tolerance=null", folder=tmp_path / "run").folder
    monkeypatch.setattr("gdframe.errors.free_memory", lambda: SMALL)
    assert main(["landscape", str(folder)]) == 2
    assert "points of 11,989 parameters: needs about" in capsys.readouterr().err
    assert "No landscape: a path of" in report(folder).read_text()


STORED = {
    "hidden": {"model": {"name": "mlp", "hidden": [10**9, 10**9], "activation": "relu"}},
    "degree": {"model": {"name": "polynomial", "degree": 10**13, "interactions": False}},
    "rows": {"data": {"name": "regression", "rows": 9 * 10**15, "features": 20}},
    "features": {"data": {"name": "regression", "rows": 1000, "features": 9 * 10**15}},
    "epochs": {"epochs": 2**53 + 1},
    "points": {"logging": {"progress": False, "tensorboard": True, "max_points": 2**53 + 1}},
}


@pytest.mark.parametrize(
    ("changes", "verb"),
    thinned(product(STORED.values(), ["resume", "report", "watch", "landscape"]), 5),
)
def test_a_stored_config_asks_for_no_more_than_there_is(table, changes, verb, gdframe):
    path = table / CONFIG
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))
    (table / "checkpoint").rename(table / "elsewhere")
    done = gdframe(verb, str(table))
    assert done.code in ((0, 2) if verb in ("report", "watch") else (2,)), done.err
    assert "Traceback" not in done.err


def sparse_checkpoint(folder, size):
    """Replace a checkpoint by one whose header is right, and that has a tensor of zeros."""
    (path,) = folder.glob("checkpoint/step-*.safetensors")
    with path.open("rb") as file:
        header = json.loads(file.read(*struct.unpack("<Q", file.read(8))))
    last = max(item["data_offsets"][1] for name, item in header.items() if name != "__metadata__")
    header["model.more"] = {"dtype": "U8", "shape": [size], "data_offsets": [last, last + size]}
    text = json.dumps(header).encode()
    with path.open("r+b") as file:
        content = file.read()[-last:]
        file.seek(0)
        file.write(struct.pack("<Q", len(text)) + text + content)
        file.truncate(8 + len(text) + last + size)


@pytest.mark.parametrize("verb", ["report", "watch", "resume"])
def test_a_checkpoint_that_does_not_fit_is_not_read(table, verb, gdframe):
    sparse_checkpoint(table, TERABYTE)
    done = gdframe(verb, str(table))
    assert done.code == (2 if verb == "resume" else 0), done.err
    shown = (table / "report.html").read_text() if verb == "report" else done.out + done.err
    assert "needs about 1.1e+03 GB" in shown


def test_a_checkpoint_is_verified_once_while_it_stays(table, monkeypatch):
    run = RunFolder(table)
    result, loads = run.read_result(), []
    load = RunFolder.load_checkpoint
    monkeypatch.setattr(
        RunFolder, "load_checkpoint", lambda self: (loads.append(self), load(self))[1]
    )
    first = run.read_history(result)
    first.epochs["added"] = first.epochs["epoch"]
    second = RunFolder(table).read_history(result)
    assert len(loads) == 1
    assert first.source == second.source == "checkpoint"
    assert "added" not in second.epochs
    (path,) = table.glob("checkpoint/*")
    path.write_bytes(path.read_bytes()[:-1])
    assert RunFolder(table).read_history(result).source == "events"
    assert len(loads) == 2


@pytest.mark.parametrize("name", thinned([OVERRIDES, HYDRA_CONFIG, PLUGINS], 3))
def test_texts_of_more_than_a_few_megabytes_are_not_read(table, name, gdframe):
    with (table / name).open("ab") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(DamagedError, match=f"at most {MOST_BYTES:,} are read"):
        Folder(table).read(name)
    for verb in ("report", "watch"):
        assert gdframe(verb, str(table)).code == 0


@pytest.mark.parametrize("content", [b"#" * (1 << 20), b"\xff"])
def test_one_unreadable_config_leaves_the_report_of_a_sweep(tmp_path, content):
    folder = gd.sweep("lr=0.01,0.02,0.03", "epochs=1", folder=tmp_path / "sweep").folder
    for number in ("0", "2"):
        (folder / number / "result.json").unlink()
    path = folder / "0" / CONFIG
    path.write_bytes(path.read_bytes() + content)
    assert main(["report", str(folder)]) == 0
    page = (folder / "report.html").read_text()
    assert "# of run 1" in page
    assert main(["watch", str(folder)]) == 0


def test_a_wide_table_is_read_in_one_pass(tmp_path):
    count = 40_000
    names = [f"column_{i}" for i in range(count)]
    (tmp_path / "t.csv").write_text("\n".join([",".join(names), ",".join("1" * count)]))
    assert fork(read_wide, [str(tmp_path / "t.csv"), str(count)], tmp_path, limit=60) == 0


def read_wide(arguments) -> int:
    from gdframe.data.reader import pick

    path, count = arguments
    raw = read_file(path)
    return 0 if len(pick(raw, raw.table.column_names)) == int(count) else 1
