"""Components that write into the rows they are given are refused, however they write."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fitted import data_of, fit
from torch import nn

import gdframe as gd

WRITES = {
    ".data": lambda x: x.data.clamp_(-0.5, 0.5),
    "numpy": lambda x: np.multiply(x.numpy(), 0.9, out=x.numpy()),
    "order": lambda x: x.data.copy_(x.data.flip(0).clone()),
    "detach": lambda x: x.detach().numpy().fill(1.0),
}


@pytest.mark.parametrize("when", ["always", "evaluation"])
@pytest.mark.parametrize("write", WRITES)
def test_a_model_that_writes_into_the_rows_is_refused(write, when):
    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def forward(self, x):
            if when == "always" or not self.training:
                WRITES[write](x)
            return self.layer(x)

    with pytest.raises(gd.UserError, match=r"model Writes: (writes into|forward changes)"):
        fit(Writes(), size=5)


def test_a_loss_that_writes_into_the_targets_is_refused():
    class Writes(gd.Loss):
        def __call__(self, outputs, targets):
            targets.data.sub_(0.1 * targets.data.mean())
            return ((outputs - targets) ** 2).mean()

    with pytest.raises(gd.UserError, match="loss Writes: writes into"):
        fit(gd.Linear(3), Writes())


def test_a_batch_is_the_models_own():
    class Clamps(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def forward(self, x):
            if self.training:  # the rows of a mini-batch are a copy
                x.data.clamp_(-0.5, 0.5)
            return self.layer(x)

    data = data_of()
    before = data.train.features.clone()
    fit(Clamps(), data=data, size=5)
    assert torch.equal(data.train.features, before)
