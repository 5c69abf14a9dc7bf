"""Checkpoints: written atomically, verified, and only the newest remain."""

from __future__ import annotations

import json
import math

import pytest
import torch
from damage import signed
from safetensors import safe_open

import gdframe as gd
from gdframe.runs import files
from gdframe.runs.checkpoint_file import (
    EPOCH_COLUMNS,
    STEP_COLUMNS,
    Capture,
    load_checkpoint,
    save_checkpoint,
)


def capture(step: int) -> Capture:
    tensors = {
        "model.weight": torch.full((2, 3), float(step)),
        "optimizer.0.step": torch.tensor(step / 3, dtype=torch.float64),
    }
    for kind, names in (("epochs", EPOCH_COLUMNS), ("steps", STEP_COLUMNS)):
        column = torch.arange(step + 1, dtype=torch.float64)
        tensors |= {f"history.{kind}/{name}": column.clone() for name in names}
    facts = {"step": step, "seconds": 0.1, "stopping": {"improvement": {"best": 0.1 + 0.2}},
             "data": "digest", "engine": "eager", "engine_reason": ""}  # fmt: skip
    return Capture(tensors, facts)


def test_round_trip_is_exact(tmp_path):
    save_checkpoint(tmp_path, capture(5), keep=3)
    loaded, problems = load_checkpoint(tmp_path)
    assert loaded is not None
    assert problems == []
    assert loaded.facts["stopping"]["improvement"]["best"] == 0.1 + 0.2
    for name, values in capture(5).tensors.items():
        assert torch.equal(values, loaded.tensors[name])
        assert values.dtype == loaded.tensors[name].dtype


def test_only_the_newest_remain(tmp_path):
    for step in (9, 10, 11, 100):
        save_checkpoint(tmp_path, capture(step), keep=2)
    assert [p.name for p in sorted(tmp_path.iterdir())] == [
        "step-000000000011.safetensors", "step-000000000100.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "garbage"])
def test_a_damaged_checkpoint_is_reported_and_an_older_one_is_read(tmp_path, damage):
    save_checkpoint(tmp_path, capture(1), keep=3)
    newest = save_checkpoint(tmp_path, capture(2), keep=3)
    content = bytearray(newest.read_bytes())
    if damage == "flip":
        content[-3] ^= 1
    newest.write_bytes(
        {"truncate": content[:-5], "flip": content, "empty": b"", "garbage": b"x" * 99}[damage]
    )
    loaded, (problem,) = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded.facts["step"] == 1
    assert newest.name in problem
    assert "damaged" in problem


def test_only_damaged_checkpoints_are_an_error_and_no_checkpoint_is_not(tmp_path):
    assert load_checkpoint(tmp_path / "nowhere") == (None, [])
    save_checkpoint(tmp_path, capture(1), keep=3).write_bytes(b"")
    with pytest.raises(gd.UserError, match="checkpoint step-000000000001"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("facts", "tensors"),
    [
        ({"step": 1e15}, {}),
        ({"step": "2"}, {}),
        ({"step": 1 << 70}, {}),
        ({"seconds": math.nan}, {}),
        ({"seconds": math.inf}, {}),
        ({"engine": None}, {}),
        ({"stopping": []}, {}),
        ({"stopping": {"improvement": {"best": "low"}}}, {}),
        ({"step": 1}, {}),  # fewer than its history has
        ({}, {"history.epochs/step": torch.zeros(3, dtype=torch.float64)}),
        ({}, {"history.epochs/step": torch.arange(5, dtype=torch.float64)}),
        ({}, {"history.epochs/objective": torch.zeros(3, dtype=torch.bfloat16)}),
        ({}, {"history.steps/loss": torch.zeros(3, 1, dtype=torch.float64)}),
        ({}, {"history.other/loss": torch.zeros(3, dtype=torch.float64)}),
        ({}, {"history.epochs/lr": None}),
        *(
            ({}, {f"history.{name}": torch.tensor(sorted((0.0, 1.0, count)), dtype=torch.float64)})
            for name in ("epochs/epoch", "epochs/step", "steps/step")
            for count in (-1.0, math.nan, math.inf, 1e300)
        ),
    ],
)
def test_a_signed_checkpoint_that_makes_no_sense_is_damaged(tmp_path, facts, tensors):
    save_checkpoint(tmp_path, capture(1), keep=3)
    whole = capture(2)
    changed = {name: v for name, v in (whole.tensors | tensors).items() if v is not None}
    path = save_checkpoint(tmp_path, Capture(changed, whole.facts), keep=3)
    with safe_open(path, framework="pt") as file:
        stored = json.loads(file.metadata()["facts"]) | facts
    path.write_bytes(signed(changed, stored))
    loaded, problems = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded.facts["step"] == 1
    assert len(problems) == 1


def test_another_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("gdframe.runs.checkpoint_file.FORMAT", 99)
    save_checkpoint(tmp_path, capture(1), keep=3)
    monkeypatch.undo()
    with pytest.raises(gd.UserError, match="format 99"):
        load_checkpoint(tmp_path)


def test_a_failed_write_leaves_only_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_atomically(path, "old")
    monkeypatch.setattr(files.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        files.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
