"""A run that has a model is not trained from its start: an interruption would replace the model."""

from __future__ import annotations

import json
import shutil

import pytest

import gdframe as gd
from gdframe.cli.main import main
from gdframe.errors import UserError
from gdframe.runs import model_file
from gdframe.runs.run_folder import RunFolder

SWEEP = ("variant=batch", "epochs=3", "lr=0.01,0.1", "stopping.tolerance=null")


@pytest.fixture(params=["run", "sweep"])
def place(request, tmp_path):
    """Return the folder to resume, and that of a run in it."""
    if request.param == "run":
        gd.train("epochs=3", folder=tmp_path / "run")
        return tmp_path / "run", tmp_path / "run"
    gd.sweep(*SWEEP, folder=tmp_path / "sweep")
    return tmp_path / "sweep", tmp_path / "sweep" / "0"


def set_status(run, status):
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**result, "status": status}))


@pytest.mark.parametrize("damage", ["interrupted", "failed", "damaged result", "no result"])
def test_a_model_without_checkpoints_is_not_replaced(place, damage, capsys):
    folder, run = place
    if damage == "no result":
        (run / "result.json").unlink()
    elif damage == "damaged result":
        (run / "result.json").write_text("{")
    else:
        set_status(run, damage)
    shutil.rmtree(run / "checkpoint")
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    assert main(["resume", str(folder)]) == 2
    message = capsys.readouterr().err
    assert "replace model.safetensors: copy the folder" in message
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before
    for name in ("model.safetensors", "result.json"):  # the advice, without the copy
        (run / name).unlink(missing_ok=True)
    assert main(["resume", str(folder)]) == 0
    assert RunFolder(run).read_result()["epochs"] == 3


def test_a_run_of_a_sweep_that_trains_on_with_other_settings_is_left_out(tmp_path, capsys):
    gd.sweep(*SWEEP, folder=tmp_path / "sweep")
    run = tmp_path / "sweep" / "0"
    assert main(["resume", str(run), "epochs=6"]) == 0
    (run / "result.json").unlink()  # as if it had been killed before it ended
    (run / "model.safetensors").unlink()
    config = (run / ".hydra" / "config.yaml").read_text()
    capsys.readouterr()
    assert main(["resume", str(tmp_path / "sweep")]) == 0
    assert "excluded" in capsys.readouterr().out
    assert (run / ".hydra" / "config.yaml").read_text() == config
    assert not (run / "result.json").exists()


def test_a_resume_that_cannot_begin_keeps_an_interrupted_result(tmp_path, monkeypatch):
    gd.sweep(*SWEEP, folder=tmp_path / "sweep")
    run = tmp_path / "sweep" / "0"
    set_status(run, "interrupted")
    before = (run / "result.json").read_text()

    def fail(*arguments):
        raise UserError("another width")

    monkeypatch.setattr("gdframe.training.run.Run.restore", fail)
    main(["resume", str(tmp_path / "sweep")])
    assert (run / "result.json").read_text() == before


def test_little_memory_is_no_damage(tmp_path, monkeypatch):
    gd.train("epochs=1", folder=tmp_path / "run")

    def fail(*arguments, **settings):
        raise RuntimeError("unable to mmap 8 bytes: Cannot allocate memory (12)")

    monkeypatch.setattr(model_file, "unpack", fail)
    with pytest.raises(UserError, match="not enough memory") as error:
        RunFolder(tmp_path / "run").read_model()
    assert "damaged" not in str(error.value)


@pytest.mark.parametrize(
    "word",
    ["observer=[csv,null]", "observer=[null]", "observer=[csv,[progress]]", "observer=[{csv:1}]",
     "stopping=[early,null]", "stopping=[early,[time]]", "epochs=${oc.env:NO_SUCH_NAME}",
     "stopping.patience=${nosuch}", "logging.max_points=${logging.max_points}"],
)  # fmt: skip
def test_wrong_overrides_of_a_resume_are_told(tmp_path, word, capsys):
    gd.train("epochs=1", folder=tmp_path / "run")
    code = main(["resume", str(tmp_path / "run"), word])
    assert code == 2
    assert word.partition("=")[0] in capsys.readouterr().err


def test_a_resume_may_drop_its_observers(tmp_path):
    gd.train("epochs=1", folder=tmp_path / "run")
    assert main(["resume", str(tmp_path / "run"), "epochs=2", "observer=[]"]) == 0
