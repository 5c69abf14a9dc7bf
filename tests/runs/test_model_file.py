"""A model file holds all that a module predicts with, whoever wrote the module."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch
from model_metadata import METADATA
from torch import nn

import gdframe as gd
from gdframe.runs.model_file import load_model, read_model, write_model
from gdframe.runs.packing import TEXT


class RandomFeatures(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("omega", torch.randn(3, 4), persistent=False)
        self.offset = torch.randn(4)
        self.out = nn.Linear(4, 1)
        self.scale = float(torch.randn(()))

    def forward(self, x):
        return self.out(torch.cos(x @ self.omega + self.offset)) * self.scale

    def get_extra_state(self):
        return {"scale": self.scale}

    def set_extra_state(self, state):
        self.scale = state["scale"]


def test_a_module_that_draws_its_own_features_predicts_the_same(tmp_path):
    torch.manual_seed(0)
    model, other, rows = RandomFeatures(), RandomFeatures(), torch.randn(5, 3)
    write_model(tmp_path / "model", model, METADATA)
    _, values = read_model(tmp_path / "model")
    load_model(other, values)
    assert torch.equal(model(rows), other(rows))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1}', "it holds values that are no tensors"),
        ('{"hidden tensors": {"list": []}}', "'list' object"),
        ("[", "Expecting value"),
        ("[1]", "its plain values are damaged"),
    ],
)
def test_a_model_file_with_other_values_is_damaged(tmp_path, text, problem):
    write_model(tmp_path / "model", gd.Linear(3), METADATA)
    with safetensors.safe_open(tmp_path / "model", framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    del metadata["digest"]  # as in a file of an earlier version
    tensors[TEXT] = torch.tensor([*text.encode()], dtype=torch.uint8)
    safetensors.torch.save_file(tensors, tmp_path / "model", metadata)
    with pytest.raises(gd.UserError, match=rf"is damaged: .*{problem}"):
        read_model(tmp_path / "model")


@pytest.mark.parametrize("place", ["weight", "encoding", "another file"])
def test_a_change_is_seen_by_the_digest(tmp_path, place):
    path = tmp_path / "model"
    write_model(path, gd.Linear(3), METADATA)
    content = bytearray(path.read_bytes())
    if place == "weight":
        content[-3] ^= 0x40
    elif place == "encoding":
        at = content.index(b"mean") + 10
        content = content[:at] + content[at:].replace(b"0", b"1", 1)
    else:
        write_model(tmp_path / "other", gd.Linear(3), METADATA | {"outputs": 2})
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        with safetensors.safe_open(tmp_path / "other", framework="pt") as file:
            metadata |= {"digest": file.metadata()["digest"]}
        tensors = safetensors.torch.load_file(path)
        content = safetensors.torch.save(tensors, metadata)
    path.write_bytes(content)
    with pytest.raises(gd.UserError, match="is damaged: its content does not match its digest"):
        read_model(path)


def test_a_model_file_of_an_earlier_version_has_no_digest(tmp_path):
    path = tmp_path / "model"
    write_model(path, gd.Linear(3), METADATA)
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    del metadata["digest"]
    path.write_bytes(safetensors.torch.save(safetensors.torch.load_file(path), metadata))
    assert read_model(path)[0]["outputs"] == 1
