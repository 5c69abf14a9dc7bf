"""Run folders that somebody has prepared: one message each, in little time and memory."""

from __future__ import annotations

import json
import resource
import shutil

import command
import pytest
import torch
import yaml
from refusals import assert_refused
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gdframe.runs.packing import TEXT, unpack


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on a table, with a checkpoint."""
    folder = tmp_path_factory.mktemp("hostile")
    lines = ["a,b,y", *(f"{i % 7},{i % 5},{2 * (i % 7) - i % 5}" for i in range(60))]
    (folder / "t.csv").write_text("\n".join(lines))
    words = ["data=table", f"data.path={folder / 't.csv'}", "data.target=y", "lr=0.05", "epochs=2"]
    assert command.call([*words, "hydra.run.dir=run"], folder, {}) == 0
    return folder


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "run")
    shutil.copy(trained / "t.csv", tmp_path / "t.csv")
    return tmp_path / "run"


def change_result(run, **fields):
    path = run / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def change_tensors(path, change):
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors, metadata)
    save_file(tensors, path, metadata)


def checkpoint_of(run):
    (path,) = (run / "checkpoint").glob("*.safetensors")
    return path


@pytest.mark.parametrize("value", [
    torch.tensor(3 * 10**9), torch.tensor(2**63 - 1), torch.zeros(2, 2, dtype=torch.uint8),
    torch.zeros(3),
])  # fmt: skip
def test_a_number_in_place_of_text_takes_no_memory(value):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="not text"):
        unpack({TEXT: value})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


@pytest.mark.parametrize(("name", "value"), [
    ("skip", "abc"), ("separator", 5), ("zzz", 5), ("names", 5), ("encoding", ["a"]),
])  # fmt: skip
def test_a_damaged_reading_of_a_model_is_refused(gdframe, run, name, value):
    def change(tensors, metadata):
        encoding = json.loads(metadata["encoding"])
        encoding["reading"]["given"][name] = value
        metadata["encoding"] = json.dumps(encoding)
        del metadata["digest"]  # as in a file that a stranger wrote

    change_tensors(run / "model.safetensors", change)
    assert_refused(gdframe("predict", str(run), "t.csv"), name)


@pytest.mark.parametrize("verb", ["report", "watch", "landscape", "resume"])
def test_a_run_that_has_begun_has_a_rate(gdframe, run, verb):
    path = run / ".hydra" / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"lr": "auto"}))
    assert_refused(gdframe(verb, str(run)), "config.yaml", "lr is auto")


def test_a_report_survives_a_confusion_of_another_size_and_a_long_point(gdframe, run):
    change_result(
        run, confusion={"classes": ["a"], "validation": [[1, 2, 3]]}, point=[0.0] * 300_000
    )
    done = gdframe("report", str(run), "--no-landscape")
    assert done.code == 0, done.err
    page = (run / "report.html").read_text()
    assert len(page) < 5_000_000
    assert "50 of 300,000 coordinates" in page


@pytest.mark.parametrize(("header", "secret"), [("user,token\nme,ghp_TOPSECRET", "ghp_TOPSECRET")])
def test_a_report_does_not_quote_a_file_that_the_folder_names(gdframe, run, header, secret):
    (run.parent / "secret").write_text(f"{secret},{secret}2\n1,2\n3,4\n")
    path = run / ".hydra" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["data"]["path"] = str(run.parent / "secret")
    path.write_text(yaml.safe_dump(config))
    done = gdframe("report", str(run))
    assert done.code == 0
    assert secret not in (run / "report.html").read_text()
    assert secret in done.err  # to the user, who may read the file


def facts_changed(change):
    def apply(tensors, metadata):
        content = json.loads(metadata["facts"])
        change(content)
        metadata["facts"] = json.dumps(content)

    return apply


def packed(value):
    return torch.frombuffer(bytearray(json.dumps(value), "ascii"), dtype=torch.uint8)


def with_text(value):
    return lambda tensors, metadata: tensors.__setitem__(TEXT, packed(value))


GROUPS = [
    {"params": {"list": [1]}}, {"lr": {"list": [1]}}, {"lr": 5.0}, {"clip_norm": "x"},
]  # fmt: skip


@pytest.mark.parametrize("change", [
    facts_changed(lambda facts: facts["stopping"].update(improvement={})),
    facts_changed(lambda facts: facts["stopping"]["improvement"].update(looks=1e308)),
    lambda tensors, metadata: tensors.__setitem__(
        "diagnosis.largest", torch.tensor(float("inf"), dtype=torch.float64)),
    with_text({"optimizer.0.number.x": 5}),
    *(with_text({"optimizer.groups": {"list": [{"dict": [[k, v]]}]}})
      for group in GROUPS[:3] for k, v in group.items()),
])  # fmt: skip
def test_a_checkpoint_that_does_not_fit_is_refused_and_the_result_stays(gdframe, run, change):
    path, before = checkpoint_of(run), (run / "result.json").read_bytes()
    change_tensors(path, change)
    done = gdframe("resume", str(run), "epochs=4")
    assert_refused(done)
    assert (run / "result.json").read_bytes() == before
