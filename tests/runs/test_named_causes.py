"""Messages name the file that is to blame, and the reason."""

from __future__ import annotations

import json
import shutil

import pytest
import safetensors.torch
from command import fork, output
from surroundings import without_privileges

import gdframe as gd
from gdframe.cli.main import main
from gdframe.runs.model_file import read_model

WORDS = ("lr=0.01", "variant=batch", "checkpoint.every=5", "stopping.tolerance=null",
         "logging.progress=false")  # fmt: skip

OBSERVER = """
import gdframe as gd


@gd.OBSERVERS.register("slow")
class Slow(gd.Observer):
    def __init__(self, *, pause: float = 0.0) -> None:
        print("built with", pause)
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    lines = [f"{n / 100},{n % 7},{3 * n}\n" for n in range(40)]
    (folder / "t.csv").write_text("a,b,y\n" + "".join(lines))
    words = ("data=table", f"data.path={folder / 't.csv'}", "data.target=y", *WORDS)
    gd.train(*words, "epochs=20", folder=folder / "run")
    return folder


@pytest.fixture
def here(stored, tmp_path, monkeypatch, capsys):
    shutil.copytree(stored / "run", tmp_path / "run")
    (tmp_path / "new.csv").write_text("a,b\n1,2\n3,4\n")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    return tmp_path


def refused(words, capsys):
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_resume_takes_an_observer_of_a_plugin_that_it_names(here, capsys):
    (here / "slow_observer.py").write_text(OBSERVER)
    words = ["plugins=[slow_observer.py]", "observer=slow", "observer.slow.pause=0.5"]
    assert main(["resume", "run", "epochs=22", *words]) == 0
    assert "built with 0.5" in capsys.readouterr().out


@pytest.mark.parametrize("mode", [0o000, 0o100, 0o400])
def test_a_folder_that_may_not_be_read_is_named_and_does_not_seem_to_be_empty(here, mode):
    (here / "run" / "checkpoint").chmod(mode)
    try:
        code = fork(without_privileges, ["resume", "run", "epochs=22"], here)
    finally:
        (here / "run" / "checkpoint").chmod(0o755)
    line = output(here)[1].splitlines()[-1]
    assert code == 2
    assert line.startswith("gdframe: cannot read or write run/checkpoint: Permission denied")


def test_a_newest_checkpoint_that_is_a_link_is_named(here, capsys):
    newest = here / "run" / "checkpoint" / "step-000000000020.safetensors"
    newest.rename(here / "elsewhere")
    newest.symlink_to(here / "elsewhere")
    before = (here / "elsewhere").read_bytes()
    assert main(["resume", "run", "epochs=22"]) == 0
    told = f"checkpoint {newest.name} is damaged (it is a link or no file, and is not read)"
    assert f"warning: {told}; the next older one is used" in capsys.readouterr().out
    assert (here / "elsewhere").read_bytes() == before


def test_links_alone_do_not_make_a_run_train_from_its_start(here, capsys):
    (here / "run" / "result.json").unlink()
    (here / "run" / "model.safetensors").unlink()
    for path in (here / "run" / "checkpoint").iterdir():
        path.rename(here / path.name)
        path.symlink_to(here / path.name)
    line = refused(["resume", "run", "epochs=22"], capsys)
    assert "step-000000000020.safetensors: is a link or no file, and is not read" in line
    assert not (here / "run" / "result.json").exists()


def change_model(path, **changes):
    metadata, tensors = read_model(path)
    for key, value in changes.items():
        is_part = isinstance(value, dict) and key == "encoding"
        metadata[key] = metadata[key] | value if is_part else value
    texts = {key: json.dumps(value) for key, value in metadata.items()}
    path.write_bytes(safetensors.torch.save(tensors, texts))


@pytest.mark.parametrize(("changes", "told"), [
    ({"loss": {"name": "cross_entropy"}}, "loss=cross_entropy does not fit a model for regression"),
    ({"loss": {"name": "hinge"}}, "loss=hinge does not fit a model for regression"),
    ({"task": "classification"}, "loss=mse does not fit a model for classification"),
    ({"encoding": {"classes": ["p", "q"]}}, "loss=mse does not fit a model for regression"),
])  # fmt: skip
def test_a_model_whose_loss_does_not_fit_is_named(here, changes, told, capsys):
    change_model(here / "run" / "model.safetensors", **changes)
    line = refused(["predict", "run", "new.csv"], capsys)
    assert f"run/model.safetensors: the model cannot be used: {told}; resume the run" in line


@pytest.mark.parametrize("fill", [[0.0, 0.0], None])
def test_a_model_that_can_take_no_values_is_named(here, fill, capsys):
    encoding = {"mean": [1e308, 0.0], "scale": [1e-3, 1.0], "fill": fill}
    change_model(here / "run" / "model.safetensors", encoding=encoding)
    line = refused(["predict", "run", "new.csv"], capsys)
    assert "column 'a': has 2 values too far from the mean of the training data" in line
    assert "run/model.safetensors is damaged: resume the run to write it again" in line


@pytest.mark.parametrize(("value", "told"), [
    ("inf", "has 1 missing or non-finite value, first in row 2"),
    ("1e300", "has 1 value too far from the mean of the training data for float32"),
])  # fmt: skip
def test_values_that_are_to_blame_are_named(here, value, told, capsys):
    words = ["data=table", f"data.path={here / 'new.csv'}", "data.target=b", "data.validation=0"]
    run = gd.train(*words, "epochs=1", "dtype=float32", folder=here / "narrow").folder
    (here / "rows.csv").write_text(f"a\n1\n{value}\n")
    capsys.readouterr()
    assert told in refused(["predict", str(run), "rows.csv"], capsys)
