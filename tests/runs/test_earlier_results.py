"""What a run has reached stays, whatever happens to a resume of it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import time

import pytest
import yaml

import gdframe as gd
from gdframe.cli.main import main
from gdframe.config.folders import hold
from gdframe.runs.enclosing_sweeps import locked_sweeps

QUICK = (
    "data=regression", "data.rows=60", "lr=0.01", "logging.progress=false", "checkpoint.every=5",
    "checkpoint.keep=2", "stopping.tolerance=null", "variant=batch",
)  # fmt: skip


class Breaks(gd.Observer):
    """Raises, or interrupts, at its start or at an epoch."""

    def __init__(self, how, epoch):
        self.how, self.epoch = how, epoch

    def on_start(self, run, resumed=False):
        self.at(0)

    def on_epoch(self, run):
        self.at(run.step)

    def at(self, epoch):
        if epoch != self.epoch:
            return
        if self.how == "raises":
            raise ConnectionError("no server")
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)


@pytest.fixture
def run(tmp_path):
    gd.train(*QUICK, "epochs=20", folder=tmp_path / "run")
    return tmp_path / "run"


def damage_newest(run):
    *_, newest = sorted((run / "checkpoint").iterdir())
    newest.write_bytes(newest.read_bytes()[:-1] + b"x")


def state(run):
    names = ("result.json", "model.safetensors", "coefficients.csv")
    return {name: (run / name).read_bytes() for name in names}


def resume_with(run, observer, monkeypatch, *words):
    """Resume with an observer that the command line cannot name."""
    from gdframe.config import train_run

    build = train_run.build_observers
    monkeypatch.setattr(train_run, "build_observers", lambda *a, **k: [*build(*a, **k), observer])
    try:
        return train_run.resume_run(run, list(words))
    except gd.UserError as error:
        return error


@pytest.mark.parametrize(
    ("how", "epoch", "is_damaged", "words"),
    [
        ("interrupts", 18, True, ("epochs=30",)),
        ("interrupts", 17, True, ()),
        ("raises", 18, True, ("epochs=30",)),
        ("raises", 0, False, ("epochs=30",)),
        ("raises", 0, True, ()),
    ],
)
def test_a_resume_that_ends_earlier_leaves_the_result(
    run, monkeypatch, caplog, how, epoch, is_damaged, words
):
    before = state(run)
    if is_damaged:
        damage_newest(run)
    result = resume_with(run, Breaks(how, epoch), monkeypatch, *words)
    assert result.status in ("interrupted", "failed")
    assert state(run) == before
    assert "its model and result stay" in caplog.text
    monkeypatch.undo()
    assert main(["resume", str(run), "epochs=30"]) == 0
    assert json.loads((run / "result.json").read_text())["epochs"] == 30


def test_fewer_epochs_than_a_run_has_are_refused(run, capsys):
    assert main(["resume", str(run), "epochs=60", "checkpoint.every=null"]) == 0
    before = state(run)
    assert main(["resume", str(run), "epochs=40"]) == 2
    assert "the run has already trained 60 epochs" in capsys.readouterr().err
    assert state(run) == before


@pytest.mark.parametrize("words", [("epochs=80",), ()])
def test_an_interrupted_result_stays_too(run, monkeypatch, caplog, words):
    resume_with(run, Breaks("interrupts", 60), monkeypatch, "epochs=90", "checkpoint.every=null")
    monkeypatch.undo()
    for path in (run / "checkpoint").iterdir():  # the checkpoint of the interruption
        if "000000000060" in path.name:
            path.unlink()
    before = state(run)
    resume_with(run, Breaks("interrupts", 40), monkeypatch, *words)
    assert state(run) == before
    assert "its curves from there on are written again" in caplog.text
    assert "its model and result stay" in caplog.text


def test_a_run_of_a_sweep_keeps_a_further_result(tmp_path, monkeypatch):
    sweep = tmp_path / "sweep"
    gd.sweep(*QUICK[:2], *QUICK[3:], "epochs=20", "lr=0.01,0.02", folder=sweep)
    path = sweep / "0" / "result.json"
    content = json.loads(path.read_text()) | {"status": "interrupted", "gradient_evaluations": 99}
    path.write_text(json.dumps(content))
    before = state(sweep / "0")
    assert main(["resume", str(sweep)]) == 0
    assert state(sweep / "0") == before


def test_a_resume_that_goes_further_replaces_the_result(run, monkeypatch):
    resume_with(run, Breaks("interrupts", 24), monkeypatch, "epochs=30")
    result = json.loads((run / "result.json").read_text())
    assert (result["status"], result["epochs"]) == ("interrupted", 24)


SETTINGS = {
    "lr": 0.02, "seed": 5, "batch_size": 7, "dtype": "float64",
    "model.bias": False, "optimizer.clip_norm": 1.0, "loss": {"name": "mae"},
    "penalty": {"name": "l2", "strength": 0.1, "biases": False},
    "initializer": {"name": "normal", "std": 1.0},
}  # fmt: skip


@pytest.mark.parametrize("key", SETTINGS)
def test_a_config_that_has_changed_is_not_resumed(run, key, capsys):
    path = run / ".hydra" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    *parents, last = key.split(".")
    inner = config
    for parent in parents:
        inner = inner[parent]
    inner[last] = SETTINGS[key]
    text = yaml.safe_dump(config)
    path.write_text(text)
    before = state(run)
    assert main(["resume", str(run), "epochs=30"]) == 2
    assert f"{key.split('.')[0]} in .hydra/config.yaml" in capsys.readouterr().err
    assert state(run) == before
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("words", "before", "after", "name"),
    [
        (("schedule=warmup", "schedule.epochs=5"), "epochs: 5", "epochs: 7", "schedule.epochs"),
        (
            ("data=diabetes", "optimizer=adam"),
            "standardize_target: true",
            "standardize_target: false",
            "data.standardize_target",
        ),
    ],
)
def test_a_change_within_a_group_is_named(tmp_path, capsys, words, before, after, name):
    quick = QUICK[2:] if words[0].startswith("data=") else QUICK
    gd.train(*quick, *words, "epochs=6", folder=tmp_path / "run")
    path = tmp_path / "run" / ".hydra" / "config.yaml"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    assert main(["resume", str(tmp_path / "run"), "epochs=9"]) == 2
    assert f"{name} in .hydra/config.yaml is not as in" in capsys.readouterr().err


def test_the_length_of_a_schedule_may_be_set(tmp_path):
    words = ("schedule=cosine", "epochs=6")
    gd.train(*QUICK, *words, folder=tmp_path / "run")
    assert main(["resume", str(tmp_path / "run"), "epochs=9", "schedule.epochs=6"]) == 0


def test_a_checkpoint_of_another_run_is_not_continued(run, tmp_path, capsys):
    gd.train(*QUICK, "epochs=20", "seed=3", folder=tmp_path / "other")
    for path in (tmp_path / "other" / "checkpoint").iterdir():
        (run / "checkpoint" / path.name).write_bytes(path.read_bytes())
    assert main(["resume", str(run), "epochs=30"]) == 2
    assert "seed in .hydra/config.yaml is not as in the checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize("rows", ["validation", "test"])
def test_other_rows_of_validation_or_test_are_warned_of(tmp_path, rows, capsys):
    lines = [f"{i},{(i * 7) % 10},{i * 0.5}" for i in range(40)]
    for name, chosen in (("t", lines[:30]), ("v", lines[30:])):
        (tmp_path / f"{name}.csv").write_text("\n".join(["a,b,y", *chosen]) + "\n")
    words = (f"data.path={tmp_path / 't.csv'}", f"data.{rows}={tmp_path / 'v.csv'}")
    gd.train("data=table", "data.target=y", *words, *QUICK[2:], "epochs=5", folder=tmp_path / "run")
    before = (tmp_path / "v.csv").read_text()
    changed = before.replace("15.0", "85.0").replace("17.0", "1.0")
    assert changed != before
    (tmp_path / "v.csv").write_text(changed)
    assert main(["resume", str(tmp_path / "run"), "epochs=7"]) == 0
    assert f"the {rows} rows are not those of the run before" in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", ["mean/x", ".batches/x", "0/checkpoint", "0/.hydra/x"])
def test_a_run_takes_no_place_inside_a_sweep_or_a_run(tmp_path, name):
    sweep = tmp_path / "sweep"
    gd.sweep(*QUICK[:2], *QUICK[3:], "epochs=1", "lr=0.01,0.02", folder=sweep)
    before = sorted(sweep.rglob("*"))
    with pytest.raises(gd.UserError, match="keeps its own files"):
        gd.train(*QUICK, "epochs=1", folder=sweep / name)
    assert sorted(sweep.rglob("*")) == before


def test_a_sweep_that_is_resumed_on_other_data_excludes_runs(tmp_path, caplog):
    rows = [f"{i},{(i * 7) % 10},{i * 0.5}" for i in range(40)]
    table, sweep = tmp_path / "t.csv", tmp_path / "sweep"
    table.write_text("\n".join(["a,b,y", *rows]) + "\n")
    words = ("data=table", "data.target=y", f"data.path={table}", *QUICK[3:], "epochs=3")
    gd.sweep(*words, "lr=0.1,0.2", folder=sweep)
    shutil.rmtree(sweep / "1")
    table.write_text(table.read_text().replace("15.0", "85.0"))
    assert main(["resume", str(sweep)]) == 0
    with (sweep / "summary.csv").open() as file:
        assert [row["lr"] for row in csv.DictReader(file)] == ["0.2"]


def test_a_sweep_replaces_no_summary_of_others(tmp_path):
    for name in "ab":
        gd.train(*QUICK, "epochs=1", folder=tmp_path / "all" / name)
    (tmp_path / "all" / "summary.csv").write_text("mine")
    with pytest.raises(gd.UserError, match=r"summary\.csv: is not of a sweep"):
        gd.sweep(*QUICK[:2], *QUICK[3:], "lr=0.1,0.2", "epochs=1", folder=tmp_path / "all")
    assert (tmp_path / "all" / "summary.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("verb", "name"),
    [
        (("report", "RUN"), "report.html"),
        (("landscape", "RUN"), "landscape.png"),
        (("landscape", "RUN"), "landscape.dark.png"),
        (("lr-range", "--output", "RUN", "epochs=1"), "lr_range.json"),
        (("lr-range", "--output", "RUN", "epochs=1"), "lr_range.png"),
    ],
)
def test_files_of_others_are_not_replaced_unasked(run, capsys, verb, name):
    words = [str(run) if word == "RUN" else word for word in verb]
    (run / name).write_text("mine")
    assert main(words) == 2
    assert f"{name}: was not written by gdframe" in capsys.readouterr().err
    assert (run / name).read_text() == "mine"
    (run / name).unlink()
    assert main(words) == 0
    assert main(words) == 0  # its own file is replaced


def test_workers_alone_get_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*QUICK, "epochs=1", "sweep.pack=[0]"]) == 2
    assert "sweep.pack" in capsys.readouterr().err


def test_a_run_in_two_sweeps_is_trained_by_one_process(tmp_path):
    outer = tmp_path / "outer"
    gd.sweep(*QUICK[:2], *QUICK[3:], "epochs=1", "lr=0.01,0.02", folder=outer)
    inner = outer / "0"
    gd.sweep(*QUICK[:2], *QUICK[3:], "epochs=1", "lr=0.1,0.2", folder=outer / "more" / "inner")
    (inner / "sweep.json").write_bytes((outer / "more" / "inner" / "sweep.json").read_bytes())
    run = inner / "1"
    run.mkdir()
    for folder in (outer, inner):
        with locked_sweeps(folder / "any", shared=False), _elsewhere(run) as refused:
            assert refused


def _elsewhere(run):
    """Try to hold a run from another thread."""
    from contextlib import contextmanager
    from threading import Thread

    @contextmanager
    def trying():
        refused = []

        def take():
            try:
                with hold(run):
                    pass
            except gd.UserError as error:
                refused.append("another process or thread trains here" in str(error))

        thread = Thread(target=take)
        thread.start()
        thread.join()
        yield refused == [True]

    return trying()
