"""Texts of files reach terminals, tables and pages without control characters and formulas."""

from __future__ import annotations

import csv
import json

import pyarrow as pa
import pytest
from thinned import thinned

import gdframe as gd
from gdframe.cli.predict import csv_bytes
from gdframe.cli.report import report
from gdframe.drawing import new_axes, png
from gdframe.errors import MOST_SHOWN, printable, without_controls
from gdframe.sweeps.writing.summary_rows import csv_text

NASTY = "\x1b[31m\x07\x9b\u202e\u2066\r\nline"


def is_clean(text):
    return all(line.isprintable() for line in text.split("\n"))


def test_text_that_is_printable_stays():
    assert printable("a é 漢 'x'") == "a é 漢 'x'"
    assert printable(NASTY).isprintable()
    assert printable("a\nb\x07", lines=True) == "a\nb\\x07"


@pytest.fixture
def run(tmp_path):
    folder = gd.train("epochs=1", "engine=eager", folder=tmp_path / "run").folder
    result = json.loads((folder / "result.json").read_text())
    for key in ("status", "reason", "model", "engine_reason", "optimizer"):
        result[key] = f"<script>{NASTY}"
    result["metrics"]["train"][NASTY] = 1.0
    result["versions"][NASTY] = NASTY
    (folder / "result.json").write_text(json.dumps(result))
    (folder / ".hydra" / "overrides.yaml").write_text(json.dumps([f"lr={NASTY}"]))
    return folder


@pytest.mark.parametrize("verb", thinned(["report", "watch", "landscape", "resume"], 4))
def test_verbs_print_no_control_characters(run, gdframe, verb):
    done = gdframe(verb, str(run))
    assert is_clean(done.out + done.err), (done.out, done.err)


def test_the_log_has_no_control_characters(run, gdframe):
    path = run / ".hydra" / "config.yaml"
    path.write_text(path.read_text().replace("variant: minibatch", f"variant: {json.dumps(NASTY)}"))
    done = gdframe("resume", str(run), "epochs=2")
    assert is_clean(done.out + done.err)
    assert is_clean((run / "gdframe.log").read_text())


def test_errors_are_one_line(gdframe, tmp_path):
    (tmp_path / "t.csv").write_text('"a\x1b[31m\nb",y\n1,2\n3,4\n')
    for words in (["data.target=z"], ["data.target=y", "data.features=[z]"]):
        done = gdframe("data=table", "data.path=t.csv", *words)
        assert done.code == 2
        assert is_clean(done.err)
        assert len(done.err.splitlines()) == 1
    done = gdframe("watch", f"nowhere{NASTY}")
    assert is_clean(done.err)
    assert len(done.err.splitlines()) == 1


def test_sweeps_print_no_control_characters(gdframe, tmp_path):
    words = ["-m", "epochs=1", "engine=eager", "seed=0,1", "sweep.dir=sweep"]
    assert gdframe(*words).code == 0
    path = tmp_path / "sweep" / "sweep.json"
    content = json.loads(path.read_text())
    for number, job in enumerate(content["jobs"]):
        job["overrides"].append(f"lr{NASTY}={NASTY}{number}")
    path.write_text(json.dumps(content))
    for number, field in enumerate(("reason", "status")):
        result = tmp_path / "sweep" / str(number) / "result.json"
        result.write_text(json.dumps(json.loads(result.read_text()) | {field: NASTY}))
    for verb in ("watch", "report", "resume"):
        done = gdframe(verb, "sweep")
        assert done.code == 0, done.err
        assert is_clean(done.out + done.err)
    for name in ("report.html", "summary.csv"):
        text = (tmp_path / "sweep" / name).read_text()
        assert without_controls(text) == text


def test_lists_of_plugins_have_no_control_characters(gdframe, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from gdframe import OPTIMIZERS, GD\n"
        f"@OPTIMIZERS.register({'mine' + NASTY!r})\n"
        f"class Mine(GD):\n    {NASTY!r}\n    def __init__(self, params, lr): pass\n"
    )
    done = gdframe("list", "optimizer", "plugins=[mine.py]")
    assert is_clean(done.out + done.err)


def test_pages_show_text_as_text(run):
    page = report(run).read_text()
    assert f"<script>{NASTY[:3]}" not in page
    assert "&lt;script&gt;" in page
    assert without_controls(page) == page


def test_pictures_show_formulas_as_text():
    figure, axes = new_axes()
    axes.plot([1, 2], label=r"$\frac{")
    axes.set_title(r"$\nothing$ \x1b")
    axes.set_yscale("log")  # whose ticks are formulas
    axes.legend()
    assert png(figure) == png(figure)


def test_tables_have_no_formulas():
    names = ["=cmd", "+1", "-x", "@y", "\tz", "\rw", "-1.5", "a=b", ""]
    table = pa.table({"prediction": names, "=name": list(range(len(names)))})
    rows = list(csv.reader(csv_bytes(table).decode().splitlines()))
    assert rows[0] == ["prediction", "'=name"]
    text = csv_bytes(table).decode()
    for name in ("=cmd", "-x", "@y", "\tz", "\rw"):
        assert f"'{name}" in text
    assert "'+1" not in text  # a number
    assert "'-1.5" not in text
    assert "'a=b" not in text
    row = {"=key": "=1", "value": -1.5, "text": "@x", "folder": "-f"}
    assert csv_text([row], ["=key"]) == "'=key,value,text,folder\n'=1,-1.5,'@x,'-f\n"


def test_a_long_name_is_not_printed_whole(gdframe, tmp_path):
    rows = "".join(f"{place * 7 % 11},{place % 5},{place % 13}\n" for place in range(40))
    (tmp_path / "t.csv").write_text(f"{'a' * 100_000},b,y\n{rows}")
    done = gdframe("data=table", "data.path=t.csv", "data.target=y", "epochs=1", "lr=0.1")
    assert done.code == 0, done.err
    shown = gdframe("inspect", "t.csv").out
    lines = (done.out + done.err + (done.run / "gdframe.log").read_text() + shown).splitlines()
    assert max(map(len, lines)) < MOST_SHOWN + 100
