"""Printed command lines give back the values, whichever characters a path has."""

from __future__ import annotations

import shlex

import pytest
from omegaconf import OmegaConf

import gdframe as gd
from gdframe.config.command import command, resume_command, sweep_command
from gdframe.config.hydra_internals import combinations
from gdframe.config.override_syntax import parse, quoted
from gdframe.runs.sweep_folder import SweepFolder

PATHS = [
    "plain/a.py", "with space/a.py", "a, b/c.py", "[a]/{b}.py", "übung/é.py", "# a/b.py",
    "$HOME/a.py", "${lr}/a.py", "it's/a.py", 'say "a"/b.py', "a=b/c.py", "a\\b/c.py",
    "a\\'b/c\\", "(a)/*?.py",     "~a/b.py", "null", "1.5", "", "a\\${lr}",
]  # fmt: skip


def resolved(words, key):
    """Return what a run gets for a key from the words of a command line."""
    (override,) = (o for o in parse(words) if o.key_or_group == key)
    config = OmegaConf.create({"lr": 0.5, "x": override.value()})
    return OmegaConf.to_container(config, resolve=True)["x"]


@pytest.mark.parametrize("path", PATHS)
def test_a_printed_command_gives_the_values_of_its_run(tmp_path, path):
    words = [f"data.path={quoted(path)}", f"plugins=[{quoted(path)},other]", "lr=0.1,0.2"]
    for run in combinations(parse(words)):
        printed = shlex.split(command(tmp_path, run))
        assert printed[:3] == ["python", "-m", "gdframe"]
        assert resolved(printed[3:], "data.path") == path
        assert resolved(printed[3:], "plugins") == [path, "other"]


@pytest.mark.parametrize("path", PATHS)
def test_a_printed_command_of_a_sweep_gives_its_values(tmp_path, path):
    words = [f"data.path={quoted(path)}", "lr=0.1,0.2"]
    content = {"hydra": {"overrides": {"task": words}}}
    SweepFolder(tmp_path).write_hydra_config(OmegaConf.to_yaml(content))
    printed = shlex.split(sweep_command(tmp_path))
    assert printed[:4] == ["python", "-m", "gdframe", "-m"]
    assert resolved(printed[4:], "data.path") == path


@pytest.mark.parametrize("path", PATHS)
def test_a_printed_command_resumes_its_folder(tmp_path, path):
    assert shlex.split(resume_command(tmp_path / path))[-1] == str(tmp_path / path)


NASTY = "a, [b] é#$ 'c'"
RULE = (
    "from gdframe import OPTIMIZERS, GD\n@OPTIMIZERS.register('mine')\nclass Mine(GD):\n    pass\n"
)


@pytest.mark.parametrize("start", ["api", "command line"])
def test_the_command_of_a_winner_trains_it_again_from_any_folder(
    gdframe, tmp_path, monkeypatch, start
):
    here, elsewhere = tmp_path / NASTY, tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    (here / "rule, [1].py").write_text(RULE.replace("mine", f"mine_{start[:3]}"))
    monkeypatch.chdir(here)
    words = [f"optimizer=mine_{start[:3]}", "plugins=['rule, [1].py']", "epochs=1", "lr=0.01,0.1"]
    if start == "api":
        folder = gd.sweep(*words, folder="mine").folder
    else:
        done = gdframe("-m", *words, "hydra.sweep.dir=mine", cwd=here)
        assert done.code == 0, done.err
        folder = here / "mine"
    winner = SweepFolder(folder).read_summary()["winner"]
    plugin = str(here / "rule, [1].py")
    assert resolved(shlex.split(winner)[3:], "plugins") == [plugin]
    again = gdframe(*shlex.split(winner)[3:], cwd=elsewhere)
    assert again.code == 0, again.err
    assert again.result["optimizer"] == f"mine_{start[:3]}"
    resumed = gdframe("resume", str(here / "mine"), cwd=elsewhere)
    assert resumed.code == 0, resumed.err
