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
    tensors[TEXT] = torch.tensor([*text.encode()], dtype=torch.uint8)
    safetensors.torch.save_file(tensors, tmp_path / "model", metadata)
    with pytest.raises(gd.UserError, match=rf"is damaged: .*{problem}"):
        read_model(tmp_path / "model")
