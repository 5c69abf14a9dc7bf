"""Folders that hold files of somebody else, or in which another process trains: nothing is lost."""

from __future__ import annotations

import json
import os

import pytest
from command import locked_elsewhere

import gdframe as gd
from gdframe.cli.main import main
from gdframe.config.folders import hold
from gdframe.runs.run_folder import RunFolder

QUICK = ("epochs=1", "logging.progress=false", "logging.tensorboard=false", "variant=batch")
SWEEP = ("lr=0.01,0.02", *QUICK)


def contents(folder):
    """Return the content of each file below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["out/0", "out/${seed}"])
def test_a_launch_into_the_folder_of_a_run_that_trains_changes_nothing(tmp_path, name):
    folder = tmp_path / "out" / "0"
    RunFolder(folder).write_config_files("lr: 1", ["lr=1"], "hydra: {}")
    before = contents(tmp_path)
    with locked_elsewhere(folder):
        assert main([*QUICK, f"hydra.run.dir={name}"]) == 2
    assert contents(tmp_path) == before
    assert main([*QUICK, f"hydra.run.dir={name}"]) == 2
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", [".hydra/config.yaml", "model.safetensors", "result.json"])
def test_files_of_others_keep_a_run_from_a_folder(tmp_path, name, capsys):
    file = tmp_path / "out" / "0" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    assert main([*QUICK, "hydra.run.dir=out/${seed}"]) == 2
    assert f"one of their files, {name}" in capsys.readouterr().err
    assert contents(tmp_path) == {file: b"mine"}


OF_SWEEPS = "multirun.yaml", "heat_map-paris.png", "mean/x/events.out.tfevents.1.host.1"
OF_RUNS = "1/model.safetensors", "0/checkpoint/step-000000000010.safetensors"


@pytest.mark.parametrize(
    ("launch", "name"),
    [
        *((launch, name) for launch in ("literal", "by Hydra") for name in (*OF_SWEEPS, *OF_RUNS)),
        *(("api", name) for name in OF_SWEEPS),  # its runs get other numbers
    ],
)
def test_files_of_others_keep_a_sweep_from_a_folder(tmp_path, name, launch):
    file = tmp_path / "out" / "0" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    if launch == "api":
        with pytest.raises(gd.UserError, match=name):
            gd.sweep(*SWEEP, folder="out/0")
    else:
        folder = "out/0" if launch == "literal" else "'out/${seed}'"
        assert main(["-m", *SWEEP, f"sweep.dir={folder}"]) == 2
    assert contents(tmp_path) == {file: b"mine"}


def test_a_sweep_that_was_killed_as_it_started_can_be_started_again(tmp_path, monkeypatch):
    def killed(*arguments):
        raise SystemExit(137)

    with monkeypatch.context() as patch:
        patch.setattr("gdframe.cli.application.discard", killed)
        patch.setattr("gdframe.sweeps.executing.train_sweep.write_jobs", killed)
        with pytest.raises(SystemExit):
            main(["-m", *SWEEP, "sweep.dir=sweep"])
    assert [path.name for path in (tmp_path / "sweep").iterdir()] == ["multirun.yaml"]
    assert main(["-m", *SWEEP, "sweep.dir=sweep"]) == 0


def test_hydra_writes_through_no_link(tmp_path):
    outside = tmp_path / "mine.yaml"
    outside.write_text("mine")
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "multirun.yaml").symlink_to(outside)
    assert main(["-m", *SWEEP, "sweep.dir=sweep"]) == 2
    assert outside.read_text() == "mine"


def test_a_run_and_a_sweep_never_train_in_one_folder(tmp_path, capsys):
    gd.sweep(*SWEEP, folder="sweep")
    before = contents(tmp_path)
    with (
        locked_elsewhere(tmp_path / "sweep"),
        pytest.raises(gd.UserError, match="another process"),
    ):
        gd.train(*QUICK, folder="sweep/2")
    assert contents(tmp_path) == before
    (tmp_path / "other" / "1").mkdir(parents=True)
    with locked_elsewhere(tmp_path / "other" / "1"):
        assert main(["-m", *SWEEP, "sweep.dir=other"]) == 2
    assert "another process" in capsys.readouterr().err
    assert contents(tmp_path) == before


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_run_whose_folder_was_moved_writes_nothing_in_its_place(tmp_path, is_replaced):
    folder = tmp_path / "run"

    class Mover(gd.Observer):
        def on_epoch(self, run):
            if folder.exists() and not (tmp_path / "moved").exists():
                folder.rename(tmp_path / "moved")
                if is_replaced:
                    folder.mkdir()
                    (folder / "result.json").write_text("of another run")

    with pytest.raises(OSError, match="moved or removed"):
        gd.train(*QUICK, folder="run", observers=[Mover()])
    assert sorted(folder.rglob("*")) == ([folder / "result.json"] if is_replaced else [])
    assert (tmp_path / "moved" / ".hydra" / "config.yaml").is_file()
    if is_replaced:
        assert (folder / "result.json").read_text() == "of another run"


def test_a_refused_launch_does_not_remove_a_new_folder_of_another_process(tmp_path):
    folder = tmp_path / "run"

    def refused():
        with hold(folder):
            folder.rename(tmp_path / "moved")
            folder.mkdir()
            raise gd.UserError("wrong")

    with pytest.raises(gd.UserError, match="wrong"):
        refused()
    assert folder.is_dir()


def test_an_ended_run_without_a_checkpoint_is_not_trained_again(tmp_path, capsys):
    gd.train(*QUICK, "checkpoint.every=null", folder="run")
    before = contents(tmp_path / "run")
    assert main(["resume", "run", "epochs=50"]) == 2
    assert "has no whole checkpoint to resume from" in capsys.readouterr().err
    after = contents(tmp_path / "run")
    assert {path: after[path] for path in before if path.suffix != ".log"} == {
        path: content for path, content in before.items() if path.suffix != ".log"
    }
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    (tmp_path / "run" / "result.json").write_text(json.dumps({**result, "status": "interrupted"}))
    assert main(["resume", "run"]) == 2  # it would replace the model
    (tmp_path / "run" / "model.safetensors").unlink()
    assert main(["resume", "run"]) == 0


def test_names_that_are_not_utf_8_are_refused(tmp_path, capsys):
    name = os.fsdecode(b"caf\xe9")
    assert main([*QUICK, f"hydra.run.dir={name}"]) == 2
    assert main(["report", name]) == 2
    assert capsys.readouterr().err.count("is not UTF-8; give another name\n") == 2
    with pytest.raises(gd.UserError, match="is not UTF-8"):
        gd.train(*QUICK, folder=name)
    assert list(tmp_path.iterdir()) == []


def test_predictions_do_not_replace_the_table_that_they_are_of(tmp_path, capsys):
    table = tmp_path / "table.csv"
    table.write_text("x,y\n" + "".join(f"{i},{2 * i}\n" for i in range(20)))
    gd.train(*QUICK, "data=table", "data.path=table.csv", "data.target=y", folder="run")
    before = table.read_text()
    (tmp_path / "link.csv").symlink_to(table)
    for name in ("table.csv", "link.csv"):
        assert main(["predict", "run", "table.csv", "--output", name]) == 2
        assert f"--output {name}: is the file to read" in capsys.readouterr().err
    assert table.read_text() == before
    assert main(["predict", "run", "table.csv", "--output", "new.csv"]) == 0


def test_a_log_with_a_second_name_is_not_appended_to(tmp_path, capsys):
    gd.train(*QUICK, folder="run")
    outside = tmp_path / "mine.txt"
    outside.write_text("mine")
    log = tmp_path / "run" / "gdframe.log"
    log.unlink(missing_ok=True)
    log.hardlink_to(outside)
    assert main(["resume", "run", "epochs=2"]) == 2
    assert "has a second name" in capsys.readouterr().err
    assert outside.read_text() == "mine"
