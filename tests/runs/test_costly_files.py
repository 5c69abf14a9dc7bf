"""Small files that would take much memory or time: refused, or read in parts."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors import safe_open

import gdframe as gd
from gdframe import errors
from gdframe.cli import predict as predicting
from gdframe.cli.main import main
from gdframe.config.composition import Composition
from gdframe.config.stored import check_values
from gdframe.data.encoding import Encoding
from gdframe.errors import UserError
from gdframe.runs import recorded_history, tensors_file
from gdframe.runs.event_reader import MOST_BYTES, read_curves
from gdframe.runs.event_records import record, scalar_record
from gdframe.runs.packing import TEXT as PLAIN
from gdframe.runs.packing import unpack
from gdframe.runs.parsing import MOST_VALUES, parse_yaml
from gdframe.runs.recorded_history import RecordedHistory
from gdframe.runs.run_folder import CONFIG, MOST_REASON, RunFolder
from gdframe.runs.schema_types import MOST_TEXT
from gdframe.runs.tensors_file import open_tensors
from gdframe.sweeps.comparing.records import keys_of, read_records

ROWS = "size,city\n1,a\n2,b\n3,a\n4,c\n"


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Return the folder of a run on a table with a column of text."""
    folder = tmp_path_factory.mktemp("stored")
    rows = [f"{i},{'abc'[i % 3]},{2 * i}" for i in range(30)]
    (folder / "t.csv").write_text("\n".join(["size,city,y", *rows]))
    words = (
        "data=table",
        f"data.path={folder}/t.csv",
        "data.target=y",
        "epochs=2",
        "variant=batch",
    )
    return gd.train(*words, "lr=0.01", "engine=eager", folder=folder / "run").folder


@pytest.fixture
def run(stored, tmp_path):
    shutil.copytree(stored, tmp_path / "run")
    (tmp_path / "rows.csv").write_text(ROWS)
    return tmp_path / "run"


def config_with(old, new):
    def change(run):
        text = (run / CONFIG).read_text()
        assert old in text
        (run / CONFIG).write_text(text.replace(old, new, 1))

    return change


def long_reason(run):
    path = run / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"reason": "a " * MOST_TEXT}))


def model_with(key, change):
    def write(run):
        path = run / "model.safetensors"
        with safe_open(path, framework="pt") as file:
            texts = file.metadata()
        del texts["digest"]  # as in a file of an earlier version
        texts[key] = json.dumps(change(json.loads(texts.get(key, "{}"))))
        path.write_bytes(safetensors.torch.save(safetensors.torch.load_file(path), texts))

    return write


def many_layers(config):
    return config | {"model": {"name": "mlp", "hidden": [1] * 50, "activation": "relu"}}


LIST = "data:\n  z0: [" + "0," * 3_000 + "0]\n"
DOUBLED = "".join(
    f"  z{i}: {{a: '${{data.z{i - 1}}}', b: '${{data.z{i - 1}}}'}}\n" for i in range(1, 4)
)
COSTLY = {
    "base 60": (config_with("lr: 0.01", "lr: 1:1:1"), "watch", "lr"),
    "base 60 with a point": (config_with("lr: 0.01", "lr: 1" + ":1" * 200 + ".5"), "watch", "lr"),
    "list": (
        config_with("data:\n", "data:\n  z: [" + "0," * MOST_VALUES + "0]\n"),
        "report",
        f"more than {MOST_VALUES:,} values",
    ),
    "references": (config_with("data:\n", LIST + DOUBLED), "resume", "references make it larger"),
    "reason": (long_reason, "watch", "reason: expected str of length"),
    "layers": (model_with("config", many_layers), "predict", "50 layers do not fit 2 stored"),
    "header": (model_with("x", lambda _: [[]] * 20_000), "predict", "header has 8"),
}
"""By name: what is changed, the verb that reads it, and a part of its message."""


@pytest.mark.parametrize(("change", "verb", "message"), COSTLY.values(), ids=COSTLY)
def test_a_costly_file_is_refused(run, change, verb, message, capsys, monkeypatch):
    monkeypatch.setattr(tensors_file, "MOST_TEXT", 50_000)
    change(run)
    rows = [str(run.parent / "rows.csv")] if verb == "predict" else []
    code = main([verb, str(run), *rows])
    out, err = capsys.readouterr()
    shown = " ".join((out + err).split())
    assert code == (0 if message.startswith("reason") else 2), shown
    assert message in shown
    assert "Traceback" not in shown


def test_names_and_nested_lists_take_many_times_their_bytes(tmp_path, monkeypatch):
    path, free = tmp_path / "a.safetensors", [0]
    safetensors.torch.save_file({f"x{i}": torch.zeros(0) for i in range(100)}, path)
    lists = {
        PLAIN: torch.tensor([*json.dumps({"a": {"list": [[]] * 1000}}).encode()], dtype=torch.uint8)
    }
    monkeypatch.setattr(errors, "UNCHECKED", 0)
    monkeypatch.setattr(errors, "free_memory", lambda: free[0])
    free[0] = 10 * path.stat().st_size
    with pytest.raises(UserError, match="are free; free some memory"), open_tensors(path):
        pass
    with pytest.raises(UserError, match="are free; free some memory"):
        unpack(lists)
    free[0] = 1_000_000
    with open_tensors(path) as (tensors, _):
        assert len(tensors.keys()) == 100
    assert unpack(lists) == {"a": [[]] * 1000}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1:30", "1:30"), ("1:1.5", "1:1.5"), ("1e3", 1e3), ("-0x1F", -31), ("017", 15), ("1_0", 10),
     ("-.inf", -np.inf), ("2020-01-01", "2020-01-01"), ("+.5", "+.5"), ("1.5e3", 1500.0)],
)  # fmt: skip
def test_yaml_numbers_are_those_of_omegaconf_without_base_60(text, value):
    assert parse_yaml(text) == value


def test_the_values_of_a_run_of_a_sweep_are_few():
    check_values({"data.features": ["a"] * MOST_VALUES})
    with pytest.raises(ValueError, match="more than 10,000 values"):
        check_values({"data.features": ["a"] * (MOST_VALUES + 1)})


def test_a_key_twice_is_refused():
    with pytest.raises(ValueError, match="same key twice"):
        parse_yaml("{a: 1, a: 2}")


def test_a_long_reason_is_cut_when_it_is_written(run):
    result = RunFolder(run).read_result()
    RunFolder(run).write_result(result | {"reason": "a" * MOST_TEXT * 2})
    assert len(RunFolder(run).read_result()["reason"]) < MOST_REASON + 10


def test_update_ratios_of_few_parameters_are_read(monkeypatch):
    monkeypatch.setattr(recorded_history, "MOST_RATIOS", 9)
    history = RecordedHistory({"epoch": np.arange(3.0)})
    history.add_updates({f"update_ratio/{i}": (np.ones(1), np.ones(1)) for i in range(5)})
    assert len(history.epochs) == 4
    assert history.damages == ["update ratios: the first 3 of 5 are used"]


def test_large_events_are_not_parsed_for_curves(tmp_path):
    points = [scalar_record("a", 1.0, step, 0.0) for step in (1, 2)]
    path = tmp_path / "events"
    path.write_bytes(points[0] + record(b"\xff" * 500) + points[1])
    damages: list[str] = []
    assert read_curves([path], damages)["a"][0].tolist() == [1, 2]
    assert damages == []
    path.write_bytes(points[0] + record(bytes(MOST_BYTES + 1)) + points[1])
    assert read_curves([path], damages)["a"][0].tolist() == [1]
    assert len(damages) == 1


@pytest.fixture
def blocks(monkeypatch):
    """Return a list to which each block of predicted rows adds its length."""
    lengths: list[int] = []
    transform = Encoding.transform

    def spied(encoding, values, rows, dtype):
        lengths.append(len(rows))
        return transform(encoding, values, rows, dtype)

    monkeypatch.setattr(Encoding, "transform", spied)
    return lengths


def test_rows_are_predicted_a_few_at_a_time(run, blocks, monkeypatch):
    path = run.parent / "rows.csv"
    whole = predicting.predict(run, path)
    monkeypatch.setattr(predicting, "MOST_NUMBERS", 8)  # of four features each
    parts = predicting.predict(run, path)
    assert blocks == [4, 2, 2]
    np.testing.assert_allclose(parts["prediction"], whole["prediction"], rtol=1e-6)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,a\n2,\n,b\n4,\n", "column 'size': has 1 missing .*first in row 3"),
        ("1,a\n2,\n3,b\n4,\n", "column 'city': has 2 missing .*first in rows? 2"),
        (",\n2,\n3,b\n,\n", "column 'size': has 2 missing .*first in rows? 1"),
    ],
)
def test_missing_values_are_counted_over_all_blocks(run, rows, message, monkeypatch):
    path = run.parent / "rows.csv"
    path.write_text(f"size,city\n{rows}")
    monkeypatch.setattr(predicting, "MOST_NUMBERS", 8)
    with pytest.raises(UserError, match=message):
        predicting.predict(run, path, strict=True)


def test_activations_limit_the_rows_of_a_block(tmp_path, blocks, monkeypatch):
    words = ("model=mlp", "model.hidden=[100]", "data=regression", "data.rows=50", "epochs=1")
    folder = gd.train(*words, folder=tmp_path / "run").folder
    blocks.clear()
    with (tmp_path / "rows.csv").open("w") as file:
        csv.writer(file).writerows([[f"x{i}" for i in range(20)], *[[1] * 20] * 5])
    monkeypatch.setattr(predicting, "MOST_NUMBERS", 250)
    assert predicting.predict(folder, tmp_path / "rows.csv").num_rows == 5
    assert blocks == [2, 2, 1]


def test_runs_with_too_many_different_keys_are_refused():
    assert len(keys_of([{f"k{i}": "1"} for i in range(500)])) == 500
    with pytest.raises(UserError, match="600 different keys: there are too many"):
        keys_of([{f"k{i}": "1"} for i in range(600)])


def test_each_config_is_computed_once_to_fill_in_keys(tmp_path, monkeypatch):
    words = ("model=himmelblau", "epochs=1", "logging.tensorboard=false")
    folder = gd.sweep(*words, "lr=0.01,0.02", folder=tmp_path / "sweep").folder
    path = folder / "sweep.json"
    content = json.loads(path.read_text())
    for job in content["jobs"]:
        job["overrides"] = [f"k{job['number']}_{i}=1" for i in range(30)]
    path.write_text(json.dumps(content))
    calls: list[int] = []
    plain = Composition.plain
    monkeypatch.setattr(Composition, "plain", lambda self: (calls.append(1), plain(self))[1])
    assert len(read_records(folder)) == 2
    assert len(calls) < 20
