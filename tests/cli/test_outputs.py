"""Files that commands write where the user says: none replaces a file of a run, or one it reads."""

from __future__ import annotations

import os

import pytest

import gdframe as gd
from gdframe.cli.main import main

QUICK = ("epochs=2", "lr=0.01", "logging.progress=false", "observer=csv", "checkpoint.every=1")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    (folder / "parts").mkdir()
    lines = [f"{i},{2 * i}\n" for i in range(20)]
    for place, part in (("t.csv", lines), ("parts/1.csv", lines[:10]), ("parts/2.csv", lines[10:])):
        (folder / place).write_text("x,y\n" + "".join(part))
    for name, path in (("run", "t.csv"), ("of_parts", "parts")):
        words = ("data=table", f"data.path={folder / path}", "data.target=y", *QUICK)
        gd.train(*words, folder=folder / name)
    query = f"data.query=\"SELECT * FROM read_csv('{folder / 'parts'}/*.csv')\""
    gd.train("data=table", query, "data.target=y", *QUICK, folder=folder / "of_query")
    gd.sweep("lr=0.01,0.1", "epochs=2", folder=folder / "sweep")
    return folder


@pytest.fixture
def here(stored, tmp_path, monkeypatch):
    (tmp_path / "new.csv").write_text("x\n1\n2\n")
    monkeypatch.chdir(stored)  # the configs name the tables here
    return stored


def contents(folder):
    """Return the content of each file below a folder, but for logs."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".log")
    return {path: path.read_bytes() for path in files}


def assert_refused(words, message, capsys, folder):
    before = contents(folder)
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert contents(folder) == before


def test_a_page_replaces_no_file_of_a_run(here, capsys):
    files = [path for path in contents(here) if path.suffix not in (".html", ".csv")]
    assert {path.suffix for path in files} >= {".safetensors", ".json", ".yaml", ".gdframe"}
    for file in [*files, "page", "page.htm"]:
        words = ["report", "run", "--no-landscape", "--output", str(file)]
        assert_refused(words, f"--output {file}: expected a file that ends in .html", capsys, here)
    assert main(["report", "run", "--no-landscape", "--output", "run/page.HTML"]) == 0


@pytest.mark.parametrize("file", [
    "run/coefficients.csv", "run/history.csv", "sweep/summary.csv", "sweep/0/History.csv",
])  # fmt: skip
def test_predictions_replace_no_table_of_a_run_or_a_sweep(here, tmp_path, file, capsys):
    words = ["predict", "run", str(tmp_path / "new.csv"), "--output", file]
    assert_refused(words, f"--output {file}: is a file that gdframe keeps", capsys, here)
    assert main([*words[:-1], str(tmp_path / "history.csv")]) == 0  # it is no folder of a run


@pytest.mark.parametrize(
    "file", ["learning_rates.png", "heat_map-2.png", "landscape.dark.png", "lr_range.png"]
)
def test_a_landscape_replaces_no_other_picture_of_a_folder(here, file, capsys):
    for folder in ("sweep", "run"):
        words = ["landscape", "run", "--points", "4", "--output", f"{folder}/{file}"]
        assert_refused(words, "is a file that gdframe keeps in this folder", capsys, here)


@pytest.mark.parametrize(("data", "output"), [
    ("parts", "parts/1.csv"), ("parts/*.csv", "parts/2.csv"), ("parts/1.csv", "parts/1.csv"),
    ("parts", "link.csv"),
])  # fmt: skip
def test_predictions_replace_no_table_that_they_are_of(here, data, output, capsys):
    if output == "link.csv":
        (here / output).symlink_to(here / "parts" / "2.csv")
    try:
        assert_refused(["predict", "run", data, "--output", output], "file to read", capsys, here)
    finally:
        (here / "link.csv").unlink(missing_ok=True)


@pytest.mark.parametrize(("run", "output"), [
    ("run", "t.csv"), ("of_parts", "parts/2.csv"), ("of_query", "parts/1.csv"),
])  # fmt: skip
def test_predictions_replace_no_table_that_the_run_was_trained_with(
    here, tmp_path, run, output, capsys
):
    new = str(tmp_path / "new.csv")
    words = ["predict", run, new, "--output"]
    assert_refused([*words, output], "is a file that the run was trained with", capsys, here)
    assert main([*words, str(tmp_path / "t.csv")]) == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes")
@pytest.mark.parametrize("kind", ["pipe", "link"])
@pytest.mark.parametrize(("name", "words"), [
    ("landscape.png", ["landscape", "r"]), ("landscape.dark.png", ["landscape", "r"]),
    ("lr_range.png", ["lr-range", "epochs=1", "variant=batch", "--points", "3", "--output", "r"]),
    ("lr_range.json", ["lr-range", "epochs=1", "variant=batch", "--points", "3", "--output", "r"]),
    ("report.html", ["report", "r"]),
])  # fmt: skip
def test_a_pipe_or_a_link_in_the_place_of_a_file_is_refused(gdframe, tmp_path, kind, name, words):
    gd.train("data=regression", "data.rows=20", *QUICK, "variant=batch", folder=tmp_path / "r")
    (tmp_path / "else.txt").write_text("mine")
    path = tmp_path / "r" / name
    os.mkfifo(path) if kind == "pipe" else path.symlink_to(tmp_path / "else.txt")
    done = gdframe(*words)
    assert done.code == 2, (done.out, done.err)
    assert name in done.err
    assert (tmp_path / "else.txt").read_text() == "mine"
