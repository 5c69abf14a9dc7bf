"""A resume keeps what is whole beside a damaged file: models, settings of runs, other files."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import marshal
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from torch.utils.tensorboard import SummaryWriter

import gdframe as gd
from gdframe.cli.main import main
from gdframe.config.folders import hold
from gdframe.data.reading.numerals import FORMATS, NumberFormat
from gdframe.errors import without_controls
from gdframe.registry.plugins import load_plugins
from gdframe.runs.files import (
    MOST_LABEL,
    remove_unfinished,
    replacing,
    require_place,
    write_atomically,
)
from gdframe.runs.run_folder import RunFolder
from gdframe.runs.spreadsheet import cell

SWEEP = ("variant=batch", "epochs=3", "lr=0.01,0.1", "stopping.tolerance=null")


@pytest.fixture
def sweep(tmp_path):
    gd.sweep(*SWEEP, folder=tmp_path / "sweep")
    return tmp_path / "sweep"


@pytest.mark.parametrize("damage", ["empty", "missing", "no folder"])
def test_a_run_whose_config_is_lost_stays_in_its_sweep(sweep, damage, capsys):
    config = sweep / "0" / ".hydra" / "config.yaml"
    text = config.read_text()
    if damage == "empty":
        config.write_text("")
    else:
        config.unlink()
    if damage == "no folder":
        for path in config.parent.iterdir():
            path.unlink()
        config.parent.rmdir()
    assert main(["resume", str(sweep)]) == 0
    out, err = capsys.readouterr()
    assert "2 trained before" in out
    assert "excluded" not in out
    assert "config was missing or damaged" in out + err
    assert config.read_text() == text


def test_an_interrupted_run_with_other_settings_keeps_them(sweep):
    folder = sweep / "0"
    assert main(["resume", str(folder), "epochs=6"]) == 0
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, "status": "interrupted"}))
    before = {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert main(["resume", str(sweep)]) == 0
    after = {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert {n for n in before if before[n] != after.get(n)} <= {"gdframe.log"}
    assert main(["resume", str(folder), "epochs=7"]) == 0


def test_a_model_without_a_checkpoint_is_not_replaced(tmp_path, capsys):
    folder = gd.train("checkpoint.every=null", "epochs=2", folder=tmp_path / "run").folder
    (folder / "result.json").write_text("")
    model = (folder / "model.safetensors").read_bytes()
    assert main(["resume", str(folder)]) == 2
    assert "no checkpoint" in capsys.readouterr().err
    assert (folder / "model.safetensors").read_bytes() == model


@pytest.mark.parametrize("name", ["model.safetensors", "result.json", "coefficients.csv"])
def test_a_folder_in_the_place_of_a_file_is_told_before_training(tmp_path, name, gdframe):
    (tmp_path / "run" / name).mkdir(parents=True)
    done = gdframe("epochs=2", "hydra.run.dir=run")
    assert done.code == 2
    assert f"{name}: is a folder" in done.err
    assert [p.name for p in (tmp_path / "run").iterdir()] == [name]


@pytest.mark.parametrize("has_ended", [True, False])
def test_advice_on_damaged_checkpoints_can_be_followed(tmp_path, has_ended, capsys):
    run = tmp_path / "run"
    gd.train("epochs=2", folder=run)
    if not has_ended:  # it was killed
        (run / "result.json").unlink()
        (run / "model.safetensors").unlink()
    for path in (run / "checkpoint").iterdir():
        path.write_bytes(b"damaged")
    assert main(["resume", str(run), "epochs=3"]) == 2
    message = capsys.readouterr().err
    if has_ended:
        assert "start a new run in another folder" in message
    else:
        assert f"remove {run / 'checkpoint'}" in message
        shutil.rmtree(run / "checkpoint")
        assert main(["resume", str(run), "epochs=3"]) == 0


def test_a_resumed_sweep_tells_of_a_damaged_checkpoint(sweep, capsys):
    (sweep / "0" / "result.json").unlink()
    (sweep / "0" / "checkpoint" / "step-000000009999.safetensors").write_bytes(b"damaged")
    assert main(["resume", str(sweep)]) == 0
    warning = "checkpoint step-000000009999.safetensors is damaged"
    assert capsys.readouterr().out.count(warning) == 1


def test_event_files_of_others_stay(tmp_path):
    folder, sweep = tmp_path / "run", tmp_path / "sweep"
    others = []
    for place in (folder, sweep, sweep / "mean", sweep / "mean" / "all"):
        with SummaryWriter(place) as writer:  # before, as an observer of one's own may
            writer.add_scalar("mine", 1.0, 0)
        others += place.glob("events*")
    before = {path: path.read_bytes() for path in others}
    gd.train("epochs=3", folder=folder)
    assert main(["resume", str(folder), "epochs=5"]) == 0
    gd.sweep(*SWEEP, folder=sweep)
    (sweep / "0" / "result.json").unlink()
    assert main(["resume", str(sweep)]) == 0
    assert main(["report", str(folder), "--output", str(tmp_path / "page.html")]) == 0
    assert {path: path.read_bytes() for path in others} == before
    assert len(list(folder.glob("events*"))) == 2
    assert len(list((sweep / "mean").glob("events*"))) == 2


def test_a_sweep_of_another_program_locks_no_run(tmp_path):
    (tmp_path / "sweep.json").write_text('{"method": "grid", "parameters": {}}')
    with hold(tmp_path / "a"), ThreadPoolExecutor() as pool:  # another thread is as a process
        pool.submit(gd.train, "epochs=1", folder=tmp_path / "b").result()
    assert RunFolder(tmp_path / "b").has_training_output()


def test_a_run_in_a_sweep_locks_it(sweep):
    with hold(sweep / "0"), ThreadPoolExecutor() as pool:
        other = pool.submit(gd.train, "epochs=1", folder=sweep / "b")
        assert isinstance(other.exception(), gd.UserError)
        assert "another process or thread" in str(other.exception())


@pytest.mark.parametrize("place", ["file", "module"])
def test_bytecode_beside_a_plugin_is_not_run(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    name = f"honest_{place}"
    source, mark = tmp_path / f"{name}.py", tmp_path / "ran"
    source.write_text("VALUE = 1\n")
    code = compile(f"open({str(mark)!r}, 'w').close()", f"{name}.py", "exec")
    unchecked = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8)
    cached = (
        tmp_path / "__pycache__" / importlib.util.cache_from_source(f"{name}.py").split("/")[-1]
    )
    cached.parent.mkdir()
    cached.write_bytes(unchecked + marshal.dumps(code))
    load_plugins([f"{name}.py" if place == "file" else name])
    assert not mark.exists()


HIDDEN = "".join(chr(code) for code in range(0x2060, 0x2070) if chr(code) != "\u2065")
FORMULAS = [
    5 * HIDDEN + "\ufeff=1+1",
    "\ufeff=1+1",
    "\u200b-2+3+cmd|x",
    " \u2066@sum",
    "a;=HYPERLINK(1)",
    "a; -2+3",
    "\t=1",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_program_reads_a_text_as_a_formula(text):
    buffer = io.StringIO()
    csv.writer(buffer).writerow([cell(text), cell("b")])
    for delimiter in ",;":
        for part in next(csv.reader(io.StringIO(buffer.getvalue()), delimiter=delimiter)):
            assert not part.lstrip("\ufeff\u200b\u2066 \t" + HIDDEN).startswith(
                ("=", "+", "-", "@")
            )


@pytest.mark.parametrize("text", ["", "\0", "1", "12345", "1,23", "x234.5", "1234"])
def test_an_example_of_no_number_is_refused(text):
    with pytest.raises(gd.UserError, match="damaged"):
        NumberFormat.from_text(text)


def test_examples_of_numbers_give_their_formats_back():
    assert [NumberFormat.from_text(str(form)) for form in FORMATS] == FORMATS


def test_threads_that_write_one_file_do_not_meet(tmp_path):
    path = tmp_path / "page.html"
    pages = [str(number) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda page: write_atomically(path, page), pages * 5))
    assert path.read_text() in pages
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize("letter", ["o", "ß", "\U0001f600"])
def test_long_names_are_written_and_their_remains_removed(tmp_path, letter):
    path = tmp_path / (letter * (255 // len(letter.encode())))
    write_atomically(path, b"whole")
    assert path.read_bytes() == b"whole"
    with replacing(path):
        (name,) = (p.name for p in tmp_path.iterdir() if p != path)
    process, _, rest = name.removeprefix(f".{path.name[:MOST_LABEL]}.").partition("-")
    dead = tmp_path / f".{path.name[:MOST_LABEL]}.{int(process) + 2**30}-{rest}"
    dead.write_bytes(b"half")
    remove_unfinished(tmp_path, path.name)
    assert not dead.exists()


def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe.html")
    with pytest.raises(gd.UserError, match="pipe or a device"):
        require_place(tmp_path / "pipe.html")


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200b", "\ufeff", "\u2028", "\x1b"])
def test_characters_that_hide_text_are_shown(hidden):
    assert hidden not in without_controls(f"a{hidden}b")
    assert without_controls("\u200d\u200c ok\n\t") == "\u200d\u200c ok\n\t"
