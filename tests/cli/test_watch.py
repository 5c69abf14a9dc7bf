"""``watch``: the progress of a run or a sweep in the terminal."""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
import pytest
from command import locked_elsewhere, start, wait_for
from rich.console import Console
from thinned import thinned

import gdframe as gd
from gdframe.cli.main import main
from gdframe.cli.report.sweep_page import describe_sweep
from gdframe.cli.sparkline import PLAIN_BLOCKS, spark
from gdframe.cli.watch import view_of, watch
from gdframe.runs.run_folder import RunFolder
from gdframe.sweeps.comparing.records import read_records


def rendered(view):
    console = Console(file=io.StringIO(), width=140)
    console.print(view.show())
    return console.file.getvalue()


def test_a_sparkline_follows_its_values():
    assert spark(np.array([1.0, 10.0, 100.0]), 10) == "▁▅█"
    assert spark(np.array([0.0, 5.0, 10.0]), 10) == "▁▅█"
    assert spark(np.array([1.0, np.nan, 2.0]), 10) == "▁ █"
    assert spark(np.full(4, 3.0), 10) == "▁▁▁▁"
    assert spark(np.zeros(0), 10) == spark(np.array([np.inf]), 10) == ""
    assert len(spark(np.geomspace(1, 100, 1000), 48)) == 48
    assert spark(np.array([1.0, 100.0]), 10, PLAIN_BLOCKS) == "_#"
    assert spark(np.array([-1.7e308, 0.0, 1.7e308]), 10) == "▁▅█"


def test_a_run_that_ended_is_shown_once(tmp_path, capsys):
    folder = gd.train("variant=batch", "lr=0.1", "epochs=5", folder=tmp_path).folder
    assert main(["watch", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "max_epochs" in out
    assert "5 of 5" in out
    assert "█" in out


def test_a_sweep_is_shown_best_first(tmp_path):
    gd.sweep("lr=0.001,0.1,100", "epochs=2", folder=tmp_path)
    view = view_of(tmp_path)
    lines = rendered(view).splitlines()
    assert view.is_over
    assert "3 of 3 ended: 2 max_epochs, 1 diverged" in lines[1]
    assert "(run 1: lr=0.1)" in lines[2]
    rows = [line.split()[:3] for line in lines[4:7]]
    assert [row[0] for row in rows] == ["1", "0", "2"]
    assert rows[2] == ["2", "lr=100", "diverged"]
    with locked_elsewhere(tmp_path):
        (tmp_path / "2" / "result.json").unlink()
        assert "2 of 3 ended" in rendered(view_of(tmp_path))
        assert not view_of(tmp_path).is_over


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_a_run_of_an_earlier_launch_is_read_again(tmp_path, status):
    gd.sweep("lr=0.001,0.1", "epochs=2", folder=tmp_path)
    path = tmp_path / "1" / "result.json"
    ended = path.read_text()
    path.write_text(json.dumps({**json.loads(ended), "status": status}))
    view = view_of(tmp_path)
    assert f"1 {status}" in rendered(view)
    with locked_elsewhere(tmp_path):
        is_counted = status == "failed"  # a run may fail in this launch
        assert f"{1 + is_counted} of 2 ended" in rendered(view)
        path.write_text(ended)
        assert "2 of 2 ended: 2 max_epochs" in rendered(view)
    assert "(run 1: lr=0.1)" in rendered(view)


def test_runs_that_a_launch_adds_are_shown(tmp_path):
    gd.sweep("lr=0.001", "epochs=2", folder=tmp_path)
    view = view_of(tmp_path)
    assert "1 of 1 ended" in rendered(view)
    gd.sweep("lr=0.001,0.1", "epochs=2", folder=tmp_path)
    assert "2 of 2 ended" in rendered(view)
    assert "(run 1: lr=0.1)" in rendered(view)


def test_the_history_of_a_run_that_ended_is_read_once(tmp_path, monkeypatch):
    gd.sweep("lr=0.001,0.1,100", "epochs=2", folder=tmp_path)
    (tmp_path / "2" / "result.json").unlink()
    names, read_history = [], RunFolder.read_history

    def counted(self, result):
        names.append(self.path.name)
        return read_history(self, result)

    monkeypatch.setattr(RunFolder, "read_history", counted)
    view = view_of(tmp_path)
    first = rendered(view)
    assert rendered(view) == first
    assert sorted(names) == ["0", "1", "2", "2"]  # run 2 has not ended


METRICS = ["null", "objective", "metrics.validation.r2", "metrics.train.mae", "steps"]


@pytest.mark.parametrize("metric", thinned(METRICS, 5))
def test_watch_the_report_and_the_sweep_name_one_winner(tmp_path, metric):
    words = [f"sweep.metric={metric}", "epochs=2,3", "metric=[r2,mae]", "stopping.tolerance=null"]
    sweep = gd.sweep("lr=0.001,0.1", *words, folder=tmp_path)
    assert winners(tmp_path) == {sweep.configurations[0].records[0].folder}
    (tmp_path / "summary.json").unlink()  # as during the training
    assert winners(tmp_path) == {sweep.configurations[0].records[0].folder}


def test_the_metric_of_the_newest_launch_counts(tmp_path, capsys):
    gd.sweep("epochs=2", "lr=0.01,1", "sweep.metric=objective", folder=tmp_path)
    words = ["epochs=2", "lr=0.01,0.02,1", "sweep.metric=metrics.train.r2"]
    sweep = gd.sweep(*words, folder=tmp_path)
    assert describe_sweep(tmp_path).facts[-1] == ("compared by", "metrics.train.r2")
    winner = sweep.configurations[0].records[0].folder
    assert winners(tmp_path) == {winner}
    assert main(["resume", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "summary.json").read_text())["metric"] == "metrics.train.r2"


def test_one_run_with_validation_data_decides_the_default_metric(tmp_path):
    sweep = gd.sweep("data.validation=0,0.2", "epochs=2", folder=tmp_path)
    assert winners(tmp_path) == {sweep.configurations[0].records[0].folder}


def winners(folder):
    """Return the folders of the best run by ``watch`` and by the report."""
    name = rendered(view_of(folder)).partition("(run ")[2].partition(":")[0]
    settings = describe_sweep(folder).groups[0]
    records = {
        ", ".join(f"{k}={v}" for k, v in record.settings.items()): record.folder
        for record in read_records(folder)
    }
    (match,) = (path for words, path in records.items() if settings in words)
    return {str(folder / name), match}


def test_a_run_is_shown_until_its_end_and_not_changed(tmp_path):
    words = ("data=regression", "data.rows=800", "variant=sgd", "engine=eager", "epochs=4",
             "stopping.tolerance=null", "hydra.run.dir=live")  # fmt: skip
    run = start(tmp_path, *words)
    folder = tmp_path / "live"
    wait_for(lambda: list(folder.glob("events*")))
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    watch(folder, every=0.2, console=console)
    run.communicate(timeout=60)
    shown = console.file.getvalue()
    assert "training" in shown
    assert "4 of 4" in shown
    assert "max_epochs" in shown
    before = {p: hashlib.md5(p.read_bytes()).digest() for p in folder.rglob("*") if p.is_file()}
    watch(folder, console=Console(file=io.StringIO()))
    assert before == {
        p: hashlib.md5(p.read_bytes()).digest() for p in folder.rglob("*") if p.is_file()
    }


def test_the_name_of_a_folder_that_has_not_ended_is_printable(tmp_path):
    folder = gd.train("epochs=1", folder=tmp_path / "a\x1b[31mb").folder
    (folder / "result.json").unlink()
    assert r"resume" in (shown := rendered(view_of(folder)))
    assert r"a\x1b[31mb" in shown
    assert "\x1b" not in shown


def test_other_folders_are_refused(tmp_path, capsys):
    assert main(["watch", str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main(["watch", str(tmp_path)]) == 2
    assert "is not a run folder or sweep folder" in capsys.readouterr().err
    for every in ("0", "inf", "nan", "1e11"):
        assert main(["watch", str(tmp_path), "--every", every]) == 2
        assert "a number of seconds above 0" in capsys.readouterr().err
    (tmp_path / "sweep.json").write_text("{")
    assert main(["watch", str(tmp_path)]) == 2
    assert "is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_terminal_without_block_characters_gets_ascii(tmp_path, encoding):
    folder = gd.train("variant=batch", "lr=0.1", "epochs=5", folder=tmp_path).folder
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    watch(folder, console=Console(file=out, width=100))
    out.flush()
    assert ("█" in out.buffer.getvalue().decode(encoding)) == (encoding == "utf-8")
