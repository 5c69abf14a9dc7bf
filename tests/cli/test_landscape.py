"""Landscapes: paths, values of the objective, pictures and messages."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from command import fork, output
from surroundings import without_privileges

import gdframe as gd
from gdframe.cli.landscape import landscape
from gdframe.cli.landscape_pictures import picture
from gdframe.cli.main import main
from gdframe.diagnostics.plane import principal_plane


def train(folder, *words):
    gd.train(*words, "logging.tensorboard=false", folder=folder)
    return folder


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(
            ("data=diabetes", "variant=sgd", "engine=linear", "lr=0.01", "epochs=3"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("data=diabetes", "variant=batch", "engine=gram", "optimizer=momentum", "epochs=30"),
            marks=pytest.mark.slow,
        ),
        ("data=iris", "model=mlp", "model.hidden=[4]", "engine=eager", "optimizer=adam",
         "epochs=4", "penalty=l2"),
        ("data=diabetes", "variant=batch", "lr=0.9", "engine=eager"),  # diverges
    ],
)  # fmt: skip
def test_a_path_ends_where_the_run_ended(tmp_path, words):
    run = train(tmp_path / "run", *words, "dtype=float64")
    shown = gd.landscape(run, points=5)
    retraced = shown.runs[0]
    assert retraced.path.steps[0] == 0
    assert retraced.path.steps[-1] == retraced.result["steps"]
    # the objective at the end of the path, over all rows, equals that of the result
    all_rows = gd.landscape(run, points=5, rows=10**6)
    from gdframe.diagnostics.plane import evaluate

    spec = retraced.spec
    rows = spec.objective.encode(spec.data.train)
    ends = evaluate(spec.objective, retraced.shapes, all_rows.plane, np.zeros((1, 2)), rows)
    assert ends[0] == pytest.approx(retraced.result["objective"], rel=1e-9)
    assert np.abs(shown.plane.axes @ shown.plane.axes.T - np.eye(2)).max() < 1e-9
    assert picture(shown).startswith(b"\x89PNG")


def test_two_parameters_are_shown_exactly(tmp_path):
    run = train(tmp_path / "run", "model=rosenbrock", "lr=1e-3", "epochs=50", "dtype=float64")
    shown = gd.landscape(run, points=7)
    assert shown.plane.labels == ("x[0]", "x[1]")
    x, y = np.meshgrid(*shown.grid)
    np.testing.assert_allclose(shown.values, (1 - x) ** 2 + 100 * (y - x * x) ** 2, rtol=1e-12)
    assert shown.paths[0][0] == pytest.approx([-1.2, 1.0])
    assert shown.grid[0][0] < -1.2 < 1 < shown.grid[0][-1]  # contains the minimum
    x, y = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    for _ in range(50):
        slope = torch.stack([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)])
        x, y = torch.stack([x, y]) - 1e-3 * slope
    assert shown.paths[0][-1] == pytest.approx([x.item(), y.item()])


@pytest.mark.slow
def test_one_parameter_two_parameters_and_the_line_between_runs(tmp_path):
    well = train(tmp_path / "well", "model=double_well", "model.start=[1.5]", "epochs=30")
    line = gd.landscape(well)
    assert line.values.shape == line.grid[0].shape
    assert line.paths[0].shape[1] == 1
    first = train(tmp_path / "first", "variant=batch", "lr=0.1", "epochs=5")
    second = train(tmp_path / "second", "variant=batch", "lr=0.01", "epochs=5")
    plane = gd.landscape(first, parameters=("weight[0,2]", "bias[0]"), points=4)
    assert plane.plane.labels == ("weight[0,2]", "bias[0]")
    both = gd.landscape(first, second, points=4)
    assert len(both.paths) == 2
    between = gd.landscape(first, second, between=True, rows=10**6)
    values = {round(t, 9): v for t, v in zip(between.grid[0], between.values)}
    for t, run in ((0.0, between.runs[0]), (1.0, between.runs[1])):
        assert values[t] == pytest.approx(run.result["objective"], rel=1e-4)
    for shown in (line, plane, both, between):
        assert picture(shown).startswith(b"\x89PNG")


def test_the_principal_plane_contains_a_path_that_is_flat():
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(2, 30))
    path = rng.normal(size=(50, 2)) @ basis + rng.normal(size=30)
    plane = principal_plane([path])
    assert plane.share == pytest.approx(1)
    np.testing.assert_allclose(plane.project(path) @ plane.axes + plane.origin, path, atol=1e-9)
    straight = principal_plane([np.outer(np.arange(5.0), np.ones(4))])
    assert np.abs(straight.axes @ straight.axes.T - np.eye(2)).max() < 1e-12


def test_the_command_writes_a_picture_and_an_animation(gdframe):
    gdframe("model=himmelblau", "epochs=5", "hydra.run.dir=run")
    done = gdframe("landscape", "run", "--points", "12", "--animate", "descent.gif")
    assert done.code == 0, done.err
    for name in ("landscape.png", "landscape.dark.png"):
        assert (done.folder / "run" / name).read_bytes().startswith(b"\x89PNG")
    assert (done.folder / "descent.gif").read_bytes().startswith(b"GIF89a")


def test_the_output_can_be_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(tmp_path / "run", "epochs=2")
    command = ["landscape", "run", "--points", "4", "--output", "here/mine.png"]
    assert main(command) == 2  # there is no such folder
    (tmp_path / "here").mkdir()
    assert main(command) == 0
    assert (tmp_path / "here" / "mine.png").read_bytes().startswith(b"\x89PNG")


def test_invalid_input_gives_one_message(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(tmp_path / "run", "epochs=1")
    train(tmp_path / "other", "data=iris", "epochs=1")
    for name in ("himmelblau", "rosenbrock"):
        train(tmp_path / name, f"model={name}", "epochs=2", "lr=1e-4")
    for name, *words in (
        ("mae", "loss=mae"),
        ("l2", "penalty=l2"),
        ("half", "data.validation=0.5"),
    ):
        train(tmp_path / name, *words, "epochs=1")
    unfinished = tmp_path / "unfinished"
    (unfinished / ".hydra").mkdir(parents=True)
    config = (tmp_path / "run" / ".hydra" / "config.yaml").read_text()
    (unfinished / ".hydra" / "config.yaml").write_text(config)
    for words, message in (
        (["nowhere"], "does not exist"),
        (["unfinished"], "no result yet"),
        (["run", "other"], "differ in their parameters"),
        (["himmelblau", "rosenbrock"], "differ in their model"),
        (["run", "mae"], "differ in their loss"),
        (["run", "l2"], "differ in their penalty"),
        (["run", "half"], "differ in their data"),
        (["run", "mae", "--between", "--animate", "x.gif"], "--animate with --between"),
        (["run"] * 9, "at most 8"),
        (["run", "--parameters", "weight[0,99]"], "'weight[0,99]': does not exist"),
        (["run", "--between"], "--between with 1 runs: expected two runs"),
        (["run", "--points", "1"], "--points 1: expected a whole number of at least 2"),
        (["run", "--animate", "x.avi"], "expected a file that ends in .gif or .mp4"),
    ):
        assert main(["landscape", *words]) == 2
        errors = capsys.readouterr().err.splitlines()
        (line,) = (error for error in errors if error.startswith("gdframe: "))
        assert message in line


def test_an_animation_without_ffmpeg_is_refused_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    train(tmp_path / "run", "epochs=1")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr("gdframe.cli.landscape_pictures.landscape", None)
    assert main(["landscape", "run", "--animate", "descent.mp4"]) == 2
    assert "--animate descent.mp4: ffmpeg is not installed" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_an_animation_that_ffmpeg_cannot_write_has_one_message(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "ffmpeg").write_text("#!/bin/sh\nexit 1\n")
    (programs / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    train(tmp_path / "run", "epochs=1")
    words = ["landscape", "run", "--points", "4", "--animate", "descent.mp4"]
    assert main(words) == 2
    (line,) = (error for error in capsys.readouterr().err.splitlines() if "gdframe: " in error)
    assert line.startswith("gdframe: --animate descent.mp4: ffmpeg failed")
    assert not (tmp_path / "descent.mp4").exists()


@pytest.mark.parametrize("output", ["x.jpg", "x.PNG", "file", "file/x", "nowhere/x.png"])
def test_a_place_that_cannot_be_written_is_refused_before_any_work(
    tmp_path, monkeypatch, capsys, output
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("gdframe.cli.landscape_pictures.landscape", None)
    assert main(["landscape", "run", "--output", output]) == 2
    assert f"--output {output}: " in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize("words", [("landscape", "folder"), ("lr-range", "--output", "folder/new")])
def test_a_folder_that_may_not_be_written_to_is_refused_before_any_work(
    tmp_path, monkeypatch, words
):
    folder = tmp_path / "cwd" / "folder"
    folder.mkdir(parents=True)
    folder.chmod(0o555)
    assert fork(without_privileges, words, folder.parent) == 2
    assert "there is no permission to write to folder" in output(folder.parent)[1]


def test_a_run_whose_data_have_changed_is_refused(gdframe, tmp_path):
    rows = [f"{i},{2 * i + 1}" for i in range(30)]
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *rows]))
    words = ("data=table", "data.path=t.csv", "data.target=y", "epochs=2", "batch_size=8")
    assert gdframe(*words, "hydra.run.dir=run").code == 0
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *reversed(rows[:-1]), "99,3"]))
    done = gdframe("landscape", "run")
    assert done.code == 2
    assert "its data" in done.err


def test_a_function_of_one_parameter_is_a_line(tmp_path):
    folder = gd.train("model=double_well", "model.start=[1.5]", "epochs=20", folder=tmp_path).folder
    line = landscape(folder)
    assert line.values.shape == line.grid[0].shape
    (path,) = line.paths
    assert path.shape == (21, 1)
    assert line.plane.share == 1
    assert picture(line).startswith(b"\x89PNG")


def test_a_run_that_diverged_at_once_has_no_path(tmp_path, capsys):
    gd.train("variant=batch", "lr=1e30", "epochs=3", folder=tmp_path)
    assert main(["landscape", str(tmp_path)]) == 2
    assert "the run made no step (" in capsys.readouterr().err


def test_a_landscape_that_is_not_finite_is_refused(tmp_path, capsys, monkeypatch):
    gd.train("variant=batch", "lr=0.1", "epochs=3", folder=tmp_path)
    target = "gdframe.cli.landscape.evaluate"
    monkeypatch.setattr(target, lambda *args: np.full(len(args[3]), np.inf))
    assert main(["landscape", str(tmp_path)]) == 2
    assert "not finite" in capsys.readouterr().err
