"""Messages of verbs about files that are damaged in known ways."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import safetensors.torch
import torch
from damage import signed
from safetensors import safe_open

import gdframe as gd
from gdframe.cli.main import main
from gdframe.errors import UserError
from gdframe.runs.event_reader import read_records
from gdframe.runs.folder import DamagedError
from gdframe.runs.model_file import read_model, write_model
from gdframe.runs.parsing import parse_json
from gdframe.runs.run_folder import RunFolder
from gdframe.sweeps.executing.job import read_jobs

ROWS = "age,sex,bmi,bp,s1,s2,s3,s4,s5,s6\n" + ",".join(["0.01"] * 10) + "\n"


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    words = ("model=mlp", "model.hidden=[4]", "epochs=3", "lr=1e-4", "stopping=early")
    return gd.train(*words, folder=tmp_path_factory.mktemp("stored") / "run").folder


@pytest.fixture
def run(stored, tmp_path):
    shutil.copytree(stored, tmp_path / "run")
    (tmp_path / "rows.csv").write_text(ROWS)
    return tmp_path / "run"


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def resign(run, facts=None, tensors=None):
    (path,) = (run / "checkpoint").iterdir()
    with safe_open(path, framework="pt") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        known = json.loads(file.metadata()["facts"])
    changed = {n: v for n, v in (stored | (tensors or {})).items() if v is not None}
    path.write_bytes(signed(changed, known | (facts or {})))


DAMAGED_RESULTS = (
    b"", b"{", b"[]", b"null", b'{"status": "\xff"}', b'{"status": 1, "reason": ""}',
    b"[" * 100_000, b'{"status": "x", "reason": "", "steps": 1e400}',
    b'{"status": "x", "reason": "", "steps": NaN}',
    b'{"status": "x", "reason": "", "objective": ' + b"9" * 5000 + b"}",
    b'{"status": "x", "reason": "", "metrics": {"train": {"r2": "high"}}}',
    b'{"status": "converged", "reason": "", "point": [1.0]}',
    b'{"status": "failed", "reason": "", "objective": 1.0}',
)  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED_RESULTS)
def test_a_damaged_result_is_named_and_resumed(run, content, gdframe):
    (run / "result.json").write_bytes(content)
    with pytest.raises(DamagedError, match=r"result\.json"):
        RunFolder(run).read_result()
    watched = gdframe("watch", str(run))
    assert watched.code == 0
    assert "damaged" in watched.out
    assert "not ended" not in watched.out
    assert gdframe("report", str(run)).code == 0
    page = (run / "report.html").read_text()
    assert "result.json" in page
    assert "has no result" not in page


def test_halves_of_characters_become_question_marks():
    assert parse_json(r'["\ud800", "\ud83d\ude00", "\\ud800", {"\uDFFF": 1}]') == [
        "?", "\U0001f600", r"\ud800", {"?": 1},
    ]  # fmt: skip


def test_a_run_with_a_damaged_result_goes_on_from_its_checkpoint(run):
    (run / "result.json").write_text("{")
    assert main(["resume", str(run), "epochs=4"]) == 0
    assert RunFolder(run).read_result()["epochs"] == 4


def test_results_of_failed_runs_are_whole(run):
    RunFolder(run).write_result({"status": "failed", "reason": "no luck", "extra": [1]})
    assert RunFolder(run).read_result()["extra"] == [1]
    for verb in ("watch", "report"):
        assert main([verb, str(run)]) == 0


@pytest.mark.parametrize("steps", [10**15, 10**6])
def test_more_steps_than_the_config_allows_are_not_trained(run, steps, capsys):
    change(run / "result.json", steps=steps)
    assert main(["landscape", str(run)]) == 2
    assert "more than the 3 epochs" in capsys.readouterr().err
    assert main(["report", str(run)]) == 0
    assert "more than the 3 epochs" in (run / "report.html").read_text()


def test_runs_that_would_train_for_too_long_are_left_out(run, capsys):
    change(run / "result.json", steps=10**12)
    path = run / ".hydra" / "config.yaml"
    path.write_text(path.read_text().replace("epochs: 3\n", "epochs: 1000000000000\n"))
    assert main(["landscape", str(run)]) == 2
    assert "would train again for about" in capsys.readouterr().err
    assert main(["report", str(run)]) == 0
    assert "would train again for about" in (run / "report.html").read_text()


@pytest.mark.parametrize("facts", [{"engine": "warp"}, {"engine": "auto"}, {"data": "other"}])
def test_signed_facts_that_do_not_fit_are_refused(run, facts, capsys):
    resign(run, facts)
    code = main(["resume", str(run), "epochs=4"])
    assert code == (0 if facts["engine" if "engine" in facts else "data"] == "auto" else 2)
    assert code == 0 or len(capsys.readouterr().err.splitlines()) == 1


def test_signed_tensors_that_do_not_fit_are_refused(run, capsys):
    with safe_open(next((run / "checkpoint").iterdir()), framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(("model.", "best."))]  # noqa: SIM118
    assert any(name.startswith("best.") for name in names)
    whole = next((run / "checkpoint").iterdir()).read_bytes()
    for name in names:
        for wrong in (None, torch.zeros(7, 7), torch.zeros(1)):
            next((run / "checkpoint").iterdir()).write_bytes(whole)
            with safe_open(next((run / "checkpoint").iterdir()), framework="pt") as file:
                if wrong is not None and file.get_tensor(name).shape == wrong.shape:
                    continue
            resign(run, tensors={name: wrong})
            assert main(["resume", str(run), "epochs=4"]) == 2, name
            assert "does not fit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("loss", {"name": "cross_entropy"}),
        ("loss", {"name": "hinge"}),
        ("encoding", {"classes": ["a"]}),
        ("encoding", {"classes": ["a", "b"]}),
        ("encoding", {"classes": ["a", 1]}),
        ("config", {"model": {"name": "quadratic"}}),
        ("config", {"model": {"name": "mlp", "hidden": [1 << 70]}}),
        ("config", {"model": {"name": "mlp", "hidden": [1 << 62, 1 << 62]}}),
        ("config", {"model": {"name": "mlp", "hidden": [10**9, 10**9]}}),
        ("config", {"model": {"name": ["mlp"]}}),
        ("config", {"dtype": "float16"}),
        ("outputs", 10**12),
        ("outputs", "1"),
        ("loss", None),
        ("loss", {"name": "nothing"}),
        ("task", 1),
        ("encoding", {"mean": [0.0]}),
        ("encoding", {"scale": [0.0] * 10}),
        ("encoding", {"classes": ["a", "b", "c"]}),
        ("encoding", {"columns": [{"name": "age", "kind": "category", "categories": [1]}]}),
        ("format", "1"),
    ],
)
def test_models_whose_metadata_do_not_fit_are_refused(run, key, value, capsys, tmp_path):
    metadata, tensors = read_model(run / "model.safetensors")
    old = metadata.pop("format")
    if key == "format":
        old = value
    else:
        metadata[key] = (
            metadata[key] | value if isinstance(metadata[key], dict) and value else value
        )

    class Stored(torch.nn.Module):
        def state_dict(self):
            return tensors

    write_model(run / "model.safetensors", Stored(), metadata | {"format": old})
    assert main(["predict", str(run), str(tmp_path / "rows.csv")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("classes", "loss"), [(["a", "b"], "cross_entropy"), (["a"], "mse"), (["a"], "hinge")]
)
def test_classes_that_do_not_fit_the_loss_are_refused(run, classes, loss, capsys, tmp_path):
    path = run / "model.safetensors"
    metadata, tensors = read_model(path)
    metadata["encoding"]["classes"] = classes
    metadata["loss"] = {"name": loss}
    tensors["layers.2.bias"] = tensors["layers.2.bias"] + 100.0  # hinge predicts the second class
    texts = {key: json.dumps(value) for key, value in metadata.items()}
    path.write_bytes(safetensors.torch.save(tensors, texts))
    assert main(["predict", str(run), str(tmp_path / "rows.csv")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the model cannot be used" in line


def test_events_beside_a_damaged_one_are_read(run):
    (path,) = run.glob("events*")
    records = list(read_records(path))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    damages: list[str] = []
    events = list(read_records(path, damages))
    assert len(events) == len(records) - 1
    damaged = next(n for n, record in enumerate(records) if record not in events)
    assert damaged > 0
    assert events == [*records[:damaged], *records[damaged + 1 :]]
    assert len(damages) == 1
    path.write_bytes(content[: len(content) // 3])  # as of a run in training
    damages.clear()
    assert list(read_records(path, damages))
    assert damages == []


def test_large_files_with_holes_are_not_read(run, gdframe):
    for path in (*run.glob("events*"), run / ".hydra" / "overrides.yaml", run / "history.csv"):
        with path.open("ab") as file:
            file.truncate(1 << 40)
    assert gdframe("report", str(run)).code == 0
    assert gdframe("resume", str(run), "epochs=4", "observer=csv").code in (0, 2)


@pytest.mark.parametrize("name", ["result.json", ".hydra/config.yaml", "model.safetensors"])
def test_pipes_do_not_block(run, name, gdframe, tmp_path):
    (run / name).unlink()
    os.mkfifo(run / name)
    for verb in (["watch"], ["report"], ["resume"], ["landscape"], ["predict"]):
        words = [*verb, str(run), *([str(tmp_path / "rows.csv")] if verb == ["predict"] else [])]
        assert gdframe(*words).code in (0, 2)


def test_a_list_of_runs_is_checked(tmp_path):
    folder = gd.sweep("epochs=1", "seed=0,1", "engine=eager", folder=tmp_path / "sweep").folder
    path = folder / "sweep.json"
    whole = json.loads(path.read_text())
    changes = [("number", 1), ("folder", "1"), ("folder", "./1"), ("folder", "../x"), ("base", 7),
               ("overrides", "lr=1"), ("values", {"nothing": 1}), ("values", {"epochs": 1 << 70}),
               ("values", {"lr": "${oc.env:HOME}"})]  # fmt: skip
    for key, value in changes:
        content = json.loads(json.dumps(whole))
        content["jobs"][0][key] = value
        path.write_text(json.dumps(content))
        with pytest.raises(UserError, match=r"sweep|inside"):
            read_jobs(folder)
