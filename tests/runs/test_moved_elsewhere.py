"""A component that changes the working folder does not make gdframe write in another one."""

from __future__ import annotations

import json
import os

import pytest

import gdframe as gd

MOVES = """
import os
import gdframe as gd
{at_import}

@gd.OBSERVERS.register("moves")
class Moves(gd.Observer):
    def on_epoch(self, run):
        os.chdir({elsewhere!r})
"""

RUN = ("data=regression", "data.rows=60", "logging.progress=false", "checkpoint.every=1")
QUICK = (*RUN, "lr=0.01")


@pytest.fixture
def places(tmp_path):
    """A folder to start in, and another one with runs of the same names, which must stay."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    gd.train(*QUICK, "epochs=5", folder=elsewhere / "run")
    gd.sweep(*RUN, "lr=0.01,0.02", "epochs=5", folder=elsewhere / "sweep")
    start = tmp_path / "start"
    start.mkdir()
    for name, at_import in (("moves", ""), ("moved", f"os.chdir({str(elsewhere)!r})")):
        text = MOVES.format(at_import=at_import, elsewhere=str(elsewhere))
        (start / f"{name}.py").write_text(text.replace('"moves"', f'"{name}"'))
    return start, elsewhere


def contents(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def epochs(folder):
    return json.loads((folder / "result.json").read_text())["epochs"]


@pytest.mark.parametrize("name", ["moves", "moved"])
def test_a_run_and_its_resume_stay_in_their_folder(places, gdframe, name):
    start, elsewhere = places
    before = contents(elsewhere)
    chosen = (f"plugins=[{name}.py]", f"observer={name}")
    assert gdframe(*QUICK, *chosen, "epochs=2", "hydra.run.dir=run", cwd=start).code == 0
    assert gdframe("resume", "run", "epochs=3", cwd=start).code == 0
    assert contents(elsewhere) == before
    assert epochs(start / "run") == 3


@pytest.mark.parametrize("name", ["moves", "moved"])
def test_a_sweep_and_its_resume_stay_in_their_folder(places, gdframe, name):
    start, elsewhere = places
    before = contents(elsewhere)
    words = ("-m", *RUN, f"plugins=[{name}.py]", f"observer={name}", "epochs=2")
    assert gdframe(*words, "lr=0.01,0.02", "sweep.dir=sweep", cwd=start).code == 0
    (start / "sweep" / "1" / "result.json").unlink()
    assert gdframe("resume", "sweep", cwd=start).code == 0
    assert contents(elsewhere) == before
    assert [epochs(start / "sweep" / run) for run in "01"] == [2, 2]
    assert (start / "sweep" / "summary.csv").exists()


class Moves(gd.Observer):
    def __init__(self, place):
        self.place = place

    def on_epoch(self, run):
        os.chdir(self.place)


def test_a_run_from_python_stays_in_its_folder(places, monkeypatch):
    start, elsewhere = places
    before = contents(elsewhere)
    monkeypatch.chdir(start)
    result = gd.train(*QUICK, "epochs=2", folder="run", observers=[Moves(elsewhere)])
    assert result.folder == start / "run"
    assert epochs(start / "run") == 2
    assert contents(elsewhere) == before
