"""Each run of a sweep has a folder of its own, inside the sweep's and no part of anything else."""

from __future__ import annotations

import json

import pytest

import gdframe as gd
from gdframe.cli.main import main
from gdframe.runs.folder import DamagedError
from gdframe.runs.sweep_folder import SweepFolder

WORDS = ("-m", "lr=0.01", "epochs=1", "logging.progress=false", "sweep.dir=s")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("paths", ["t.csv,./t.csv", "t.csv,.//t.csv", "t.csv,t.csv/x"])
def test_runs_whose_names_lead_to_one_folder_are_refused(tmp_path, paths, capsys):
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i},{2 * i}\n" for i in range(20)))
    words = ["data=table", "data.target=y", f"data.path={paths}"]
    assert main([*WORDS, *words, "hydra.sweep.subdir='r/${data.path}'"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the same folder, r/t.csv: make it different for each run" in line
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(("subdir", "told"), [
    (".", "each run needs a folder of its own"), ("./", "each run needs a folder of its own"),
    ("mean", "a sweep keeps its own files in mean"),
    ("summary.csv", "a sweep has a file of its own with the name summary.csv"),
    ("x/.hydra", "a run keeps its own files in .hydra"),
    ("x/checkpoint/${hydra.job.num}", "a run keeps its own files in checkpoint"),
])  # fmt: skip
def test_a_run_has_no_folder_of_the_sweep_or_of_a_run(tmp_path, subdir, told, capsys):
    assert main([*WORDS, f"hydra.sweep.subdir={subdir}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("name", [
    "mean", ".", "", "0/.hydra", "0/checkpoint", ".batches/0", "sweep.json", "1/0", "1//", "1/./",
])  # fmt: skip
def test_a_crafted_list_of_runs_names_no_such_folder(tmp_path, name, capsys):
    folder = gd.sweep("epochs=1", "lr=0.01,0.1", folder=tmp_path / "s").folder
    path = folder / "sweep.json"
    content = json.loads(path.read_text())
    content["jobs"][0]["folder"] = name
    path.write_text(json.dumps(content))
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    capsys.readouterr()
    assert main(["resume", "s"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "sweep.json: is damaged: " in line
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("place", [
    ".submitit", ".submitit/123", ".submitit/123/log", ".batches/0", ".batches/0/.hydra",
    "0/.hydra",
])  # fmt: skip
def test_launchers_of_others_write_through_no_link(tmp_path, place):
    (tmp_path / "out").mkdir()
    link = tmp_path / "s" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "out")
    with pytest.raises(DamagedError, match="is a link, where a run may be written"):
        SweepFolder(tmp_path / "s").check_places(by_others=True)
    SweepFolder(tmp_path / "s").check_places(by_others=False)


@pytest.mark.parametrize("by", ["hydra/launcher=basic", "hydra/launcher=joblib"])
def test_a_sweep_with_another_launcher_looks_for_links(tmp_path, by, capsys):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    (tmp_path / "out").mkdir()
    (tmp_path / "s" / ".batches").mkdir(parents=True)
    (tmp_path / "s" / ".batches" / "0").symlink_to(tmp_path / "out")
    assert main([*WORDS, by]) == 2
    assert "is a link, where a run may be written" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []
