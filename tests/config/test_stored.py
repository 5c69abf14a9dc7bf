"""Configs of folders, which may come from strangers: nothing is run, and sizes are bounded."""

from __future__ import annotations

import json

import pytest

import gdframe as gd
from gdframe.cli.main import main
from gdframe.config.compose import compose_config
from gdframe.config.composition import Base, Composition
from gdframe.config.stored import check_values, has_resolver, parse_config
from gdframe.config.values import plain, read_config
from gdframe.errors import UserError
from gdframe.sweeps.executing.job import Job, read_jobs, write_jobs

RESOLVERS = (
    "${oc.env:GDFRAME_SECRET}", "${oc.env:GDFRAME_SECRET,x}", "a${oc.decode:'1'}",
    "${hydra:job.name}",
    "${gdframe_folder:leak}", r"\\${oc.env:GDFRAME_SECRET}", "${oc.env:${variant}}",
    "${${variant}:x}", "${ oc.env:GDFRAME_SECRET }", "${oc.create:{a:1}}",
)  # fmt: skip


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = gd.train(
        "lr=0.01", "epochs=1", "engine=eager", folder=tmp_path_factory.mktemp("run")
    ).folder
    return (folder / ".hydra" / "config.yaml").read_text()


def run_of(tmp_path, text):
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    (tmp_path / "run" / ".hydra" / "config.yaml").write_text(text)
    return tmp_path / "run"


@pytest.mark.parametrize("resolver", RESOLVERS)
@pytest.mark.parametrize("verb", ["resume", "report", "watch", "landscape"])
def test_resolvers_of_folders_are_refused(
    tmp_path, text, resolver, verb, monkeypatch, capsys
):  # fmt: skip
    monkeypatch.setenv("GDFRAME_SECRET", "stolen")
    monkeypatch.chdir(tmp_path)
    folder = run_of(
        tmp_path, text.replace("variant: minibatch", f"variant: {json.dumps(resolver)}")
    )
    assert main([verb, str(folder)]) == 2
    shown = capsys.readouterr()
    assert "stolen" not in shown.out + shown.err
    assert "interpolation" in shown.err
    assert not (tmp_path / "leak").exists()


def test_references_and_escaped_text_stay(tmp_path, text):
    changed = text.replace("name: linear", r"name: '\${oc.env:HOME}'").replace(
        "seed: 0\ndevice", "seed: ${epochs}\ndevice"
    )
    config = plain(read_config(run_of(tmp_path, changed)))
    assert config["seed"] == config["epochs"]
    assert config["model"]["name"] == "${oc.env:HOME}"


def test_a_run_with_a_resolver_resumes_with_its_value(gdframe, tmp_path):
    words = [
        "epochs=2",
        "engine=eager",
        "lr=${oc.decode:'0.02'}",
        "seed=${epochs}",
        "hydra.run.dir=run",
    ]
    assert gdframe(*words).code == 0
    stored = (tmp_path / "run" / ".hydra" / "config.yaml").read_text()
    assert "lr: 0.02\n" in stored
    assert "seed: ${epochs}\n" in stored
    done = gdframe("resume", "run", "stopping.tolerance=1e-9")
    assert done.code == 0, done.err
    assert done.result["lr"] == 0.02


@pytest.mark.parametrize("place", ["base", "values"])
def test_lists_of_runs_hold_the_values_of_resolvers(tmp_path, place):
    resolver = "${oc.decode:'0.02'}"
    config = compose_config(["epochs=1"])
    if place == "base":
        config.lr = resolver
    values = {"seed": "${epochs}"} | ({"lr": resolver} if place == "values" else {})
    job = Job(0, (), Composition(Base(config), values), tmp_path / "0")
    write_jobs(tmp_path, [job], None)
    assert "oc.decode" not in (tmp_path / "sweep.json").read_text()
    (stored,) = read_jobs(tmp_path)
    assert stored.config["lr"] == 0.02
    assert stored.composition.values["seed"] == "${epochs}"
    assert stored.config == job.config


def test_resolvers_in_lists_of_runs_are_refused(tmp_path):
    job = Job(0, (), Composition(Base(compose_config([])), {}), tmp_path / "0")
    write_jobs(tmp_path, [job], None)
    path = tmp_path / "sweep.json"
    content = json.loads(path.read_text())
    content["jobs"][0]["values"]["variant"] = "${oc.env:GDFRAME_SECRET}"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="interpolation"):
        read_jobs(tmp_path)


def test_the_sizes_of_configs_are_bounded(tmp_path, text):
    bomb = "\n".join(f"a{i}: [${{a{i + 1}}}, ${{a{i + 1}}}]" for i in range(40))
    for damaged in (
        text + "x: &a [1]\ny: *a\n", text + "x: !!python/object:os.system {}\n",
        text + f"x: {'[' * 2000}{']' * 2000}\n",
        text.replace("epochs: 1\n", f"epochs: {1 << 70}\n"),
        text.replace("epochs: 1\n", "epochs: .inf\n"), text.replace("lr: 0.01", "lr: .nan"),
        text.replace("model:\n  name: linear", "model:\n  name: [linear]"), f"{text}\n{bomb}\n",
        "stopping: 1", "- stopping", "", "1.5", "true", "stopping: {x: 2001-99-99}", text + "\0",
    ):  # fmt: skip
        with pytest.raises(ValueError):
            parse_config(damaged)
    with pytest.raises(ValueError, match="interpolations"):
        check_values(["${lr}"] * 20)
    folder = run_of(tmp_path, text + "#" * (1 << 20))
    with pytest.raises(UserError, match="bytes"):
        read_config(folder)


@pytest.mark.parametrize("place", ["references", "text", "values"])
def test_the_sizes_of_lists_of_runs_are_bounded(tmp_path, place):
    job = Job(0, (), Composition(Base(compose_config([])), {}), tmp_path / "0")
    write_jobs(tmp_path, [job], None)
    content = json.loads((tmp_path / "sweep.json").read_text())
    base, values = content["bases"][0], content["jobs"][0]["values"]
    if place == "references":  # those of the base and of the values multiply
        plugins = "plugins: [" + "'${variant}', " * 10 + "]\n"
        base["config"] = base["config"].replace("plugins: []\n", plugins)
        values["device"] = "${plugins}" * 10
    elif place == "text":
        base["config"] += "#" * (1 << 20)
    else:
        values["device"] = "x" * (1 << 20)
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="20 interpolations" if place == "references" else "bytes"):
        read_jobs(tmp_path)


@pytest.mark.parametrize("reason", ["17 interpolations", "more than 999 bytes"])
def test_a_config_that_could_not_be_read_again_is_refused(tmp_path, reason, monkeypatch):
    monkeypatch.setattr("gdframe.config.stored.MOST_CONFIG", 999 if "bytes" in reason else 10**6)
    path = tmp_path / "t.csv"
    path.write_text(f"x,{'batch' * 17}\n" + "".join(f"{i},{i / 2}\n" for i in range(20)))
    target = f"data.target='{'${variant}' * 17}'"
    words = ("data=table", f"data.path={path}", target, "variant=batch")
    with pytest.raises(UserError, match=f"could not be read again: it has {reason}"):
        gd.sweep(*words, "lr=0.1,0.2", "epochs=1", folder=tmp_path / "sweep")
    with pytest.raises(UserError, match=f"could not be read again: it has {reason}"):
        gd.train(*words, "epochs=1", folder=tmp_path / "run")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "reference", ["${seed}", "${data.seed}", "${..seed}", "a${seed}b", "${a[0]}"]
)
def test_references_are_no_resolvers(reference):
    assert not has_resolver(reference)


def test_data_that_do_not_fit_in_memory_are_refused(gdframe, tmp_path):
    assert gdframe("data=regression", "epochs=1", "engine=eager", "hydra.run.dir=run").code == 0
    path = tmp_path / "run" / ".hydra" / "config.yaml"
    path.write_text(path.read_text().replace("rows: 1000", "rows: 1000000000000"))
    for verb in ("landscape", "resume"):
        done = gdframe(verb, "run")
        assert done.code == 2
        assert "GB" in done.err
    assert gdframe("report", "run").code == 0


def test_the_data_file_that_a_folder_names_is_shown(gdframe, tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i},{i % 3}\n" for i in range(20)))
    words = ["data=table", "data.path=t.csv", "data.target=y", "batch_size=4", "engine=eager"]
    assert gdframe(*words, "epochs=2", "hydra.run.dir=run").code == 0
    for arguments in (["resume", "run", "epochs=3"], ["landscape", "run"], ["report", "run"]):
        done = gdframe(*arguments)
        assert done.code == 0, done.err
        shown = [
            line for line in (done.out + done.err).splitlines() if str(tmp_path / "t.csv") in line
        ]
        assert len(shown) == (0 if arguments[0] == "report" else 1), done.out + done.err
    (tmp_path / "t.csv").unlink()
    (tmp_path / "run" / "landscape.png").unlink()
    assert gdframe("report", "run").code == 0
    assert "t.csv" not in gdframe("watch", "run").out
