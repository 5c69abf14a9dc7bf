"""Landscapes: paths are where runs went, values are the objective's, pictures are pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gdframe as gd
from gdframe.cli.landscape import landscape
from gdframe.cli.landscape_pictures import _draw, _legends, _show, picture
from gdframe.cli.main import main
from gdframe.diagnostics.plane import principal_plane


def ran(folder, *words):
    gd.train(*words, "logging.tensorboard=false", folder=folder)
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ("data=diabetes", "variant=sgd", "engine=linear", "lr=0.01", "epochs=3"),
        ("data=diabetes", "variant=batch", "engine=gram", "optimizer=momentum", "epochs=30"),
        ("data=iris", "model=mlp", "model.hidden=[4]", "engine=eager", "optimizer=adam",
         "epochs=4", "penalty=l2"),
        ("data=diabetes", "variant=batch", "lr=0.9", "engine=eager"),  # explodes
    ],
)  # fmt: skip
def test_a_path_is_where_the_run_went(tmp_path, words):
    run = ran(tmp_path / "run", *words, "dtype=float64")
    found = gd.landscape(run, points=5)
    traced = found.runs[0]
    assert traced.path.steps[0] == 0
    assert traced.path.steps[-1] == traced.result["steps"]
    # the objective where the run ended, over all rows, is what its result says
    whole = gd.landscape(run, points=5, rows=10**6)
    from gdframe.diagnostics.plane import evaluate

    spec = traced.spec
    rows = spec.objective.encode(spec.data.train)
    ends = evaluate(spec.objective, traced.shapes, whole.plane, np.zeros((1, 2)), rows)
    assert ends[0] == pytest.approx(traced.result["objective"], rel=1e-9)
    assert np.abs(found.plane.axes @ found.plane.axes.T - np.eye(2)).max() < 1e-9
    assert picture(found).startswith(b"\x89PNG")


def test_two_parameters_are_shown_exactly(tmp_path):
    run = ran(tmp_path / "run", "model=rosenbrock", "lr=1e-3", "epochs=50", "dtype=float64")
    found = gd.landscape(run, points=7)
    assert found.plane.labels == ("x[0]", "x[1]")
    x, y = np.meshgrid(*found.grid)
    np.testing.assert_allclose(found.values, (1 - x) ** 2 + 100 * (y - x * x) ** 2, rtol=1e-12)
    assert found.paths[0][0] == pytest.approx([-1.2, 1.0])
    assert found.grid[0][0] < -1.2 < 1 < found.grid[0][-1]  # the minimum too
    x, y = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    for _ in range(50):
        slope = torch.stack([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)])
        x, y = torch.stack([x, y]) - 1e-3 * slope
    assert found.paths[0][-1] == pytest.approx([x.item(), y.item()])


def test_one_parameter_two_of_many_and_the_line_between_runs(tmp_path):
    well = ran(tmp_path / "well", "model=double_well", "model.start=[1.5]", "epochs=30")
    line = gd.landscape(well)
    assert line.values.shape == (50,)
    assert line.paths[0].shape[1] == 1
    one = ran(tmp_path / "one", "variant=batch", "lr=0.1", "epochs=5")
    other = ran(tmp_path / "other", "variant=batch", "lr=0.01", "epochs=5")
    chosen = gd.landscape(one, parameters=("weight[0,2]", "bias[0]"), points=4)
    assert chosen.plane.labels == ("weight[0,2]", "bias[0]")
    both = gd.landscape(one, other, points=4)
    assert len(both.paths) == 2
    between = gd.landscape(one, other, between=True, rows=10**6)
    at = {round(t, 9): v for t, v in zip(between.grid[0], between.values)}
    for t, run in ((0.0, between.runs[0]), (1.0, between.runs[1])):
        assert at[t] == pytest.approx(run.result["objective"], rel=1e-4)
    for found in (line, chosen, both, between):
        assert picture(found).startswith(b"\x89PNG")


def test_the_plane_holds_a_path_that_lies_in_one():
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(2, 30))
    path = rng.normal(size=(50, 2)) @ basis + rng.normal(size=30)
    plane = principal_plane([path])
    assert plane.share == pytest.approx(1)
    np.testing.assert_allclose(plane.project(path) @ plane.axes + plane.origin, path, atol=1e-9)
    straight = principal_plane([np.outer(np.arange(5.0), np.ones(4))])
    assert np.abs(straight.axes @ straight.axes.T - np.eye(2)).max() < 1e-12


def test_the_command_writes_a_picture_and_an_animation(gdframe):
    gdframe("model=himmelblau", "epochs=40", "hydra.run.dir=run")
    done = gdframe("landscape", "run", "--points", "12", "--animate", "descent.gif")
    assert done.code == 0, done.err
    assert (done.folder / "run" / "landscape.png").read_bytes().startswith(b"\x89PNG")
    assert (done.folder / "descent.gif").read_bytes().startswith(b"GIF89a")


def test_runs_that_look_alike_are_told_apart(tmp_path):
    runs = [ran(tmp_path / f"run{seed}", f"seed={seed}", "epochs=2") for seed in (0, 1)]
    twin = ran(tmp_path / "twin", "seed=0", "epochs=2")
    found = gd.landscape(*runs, points=4)
    assert _legends(found) == [f"gd, lr 0.01, minibatch: max_epochs, seed {i}" for i in (0, 1)]
    names = _legends(gd.landscape(runs[0], twin, points=4))
    assert [name.rpartition(" ")[2] for name in names] == ["(run0)", "(twin)"]
    figure, artists = _draw(found)
    for end in (2, 5):
        _show(found, artists, end, figure)
        step = found.runs[0].path.steps[end - 1]
        assert figure.axes[0].get_title().endswith(f", step {step:,}")
    assert figure.axes[0].get_legend() is None  # it is beside the picture, and stays there


def test_a_picture_has_a_name_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran(tmp_path / "run", "epochs=2")
    assert main(["landscape", "run", "--points", "4", "--output", "here/mine.png"]) == 0
    assert (tmp_path / "here" / "mine.png").read_bytes().startswith(b"\x89PNG")


def test_wrong_input_is_one_message(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran(tmp_path / "run", "epochs=1")
    ran(tmp_path / "other", "data=iris", "epochs=1")
    for name in ("himmelblau", "rosenbrock"):
        ran(tmp_path / name, f"model={name}", "epochs=2", "lr=1e-4")
    for name, *words in (
        ("mae", "loss=mae"),
        ("l2", "penalty=l2"),
        ("half", "data.validation=0.5"),
    ):
        ran(tmp_path / name, *words, "epochs=1")
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
        (["run", "mae", "--between", "--animate", "x.gif"], "nothing that moves"),
        (["run"] * 9, "holds at most 8"),
        (["run", "--parameters", "weight[0,99]"], "there is no parameter"),
        (["run", "--between"], "takes two runs"),
        (["run", "--points", "1"], "at least 2 points"),
        (["run", "--animate", "x.avi"], "ends in .gif or .mp4"),
    ):
        assert main(["landscape", *words]) == 2
        (said,) = (s for s in capsys.readouterr().err.splitlines() if s.startswith("gdframe: "))
        assert message in said


def test_a_run_whose_data_have_changed_is_not_shown(gdframe, tmp_path):
    rows = [f"{i},{2 * i + 1}" for i in range(30)]
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *rows]))
    given = ("data=table", "data.path=t.csv", "data.target=y", "epochs=2", "batch_size=8")
    assert gdframe(*given, "hydra.run.dir=run").code == 0
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *reversed(rows[:-1]), "99,3"]))
    done = gdframe("landscape", "run")
    assert done.code == 2
    assert "does not end where it did" in done.err


def test_a_function_of_one_parameter_is_a_line(tmp_path):
    folder = gd.train("model=double_well", "model.start=[1.5]", "epochs=20", folder=tmp_path).folder
    found = landscape(folder)
    assert found.values.shape == found.grid[0].shape == (50,)
    (path,) = found.paths
    assert path.shape == (21, 1)
    assert found.plane.share == 1
    assert picture(found).startswith(b"\x89PNG")


def test_a_run_that_diverged_at_once_has_no_path(tmp_path, capsys):
    gd.train("variant=batch", "lr=1e30", "epochs=3", folder=tmp_path)
    assert main(["landscape", str(tmp_path)]) == 2
    assert "took no step (objective became infinite at step 1" in capsys.readouterr().err


def test_a_path_beyond_all_numbers_is_refused(tmp_path, capsys, monkeypatch):
    gd.train("variant=batch", "lr=0.1", "epochs=3", folder=tmp_path)
    beyond = "gdframe.cli.landscape.evaluate"
    monkeypatch.setattr(beyond, lambda *given: np.full(len(given[3]), np.inf))
    assert main(["landscape", str(tmp_path)]) == 2
    assert "beyond all numbers" in capsys.readouterr().err
