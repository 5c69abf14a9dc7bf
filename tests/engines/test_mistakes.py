"""Mistakes that PyTorch reports without a name are named, and what PyTorch allows trains."""

from __future__ import annotations

import pytest
import torch
from fitted import data_of
from torch import nn

import gdframe as gd


class Detaches(gd.Loss):
    def __call__(self, outputs, targets):
        return ((outputs.detach() - targets) ** 2).mean()


class Replaces(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 1))

    def forward(self, x):
        if self.training:
            self.weight = nn.Parameter(self.weight.detach() + 1)
        return x @ self.weight


class ListState(gd.GD):
    @staticmethod
    def init_state(params):
        return [torch.zeros_like(p) for p in params]


class NoRate(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {"step_size": 0.1})

    def step(self, closure=None):
        pass


@pytest.mark.parametrize(("model", "loss", "rule", "words"), [
    (nn.Linear(3, 1), Detaches(), None, "Linear: the objective does not depend"),
    (Replaces(), gd.MSE(), None, "Replaces: replaces its parameters"),
    (nn.Linear(3, 1), gd.MSE(), ListState, "ListState.init_state: returned a list"),
    (nn.Linear(3, 1), gd.MSE(), lambda p, lr: NoRate(p), "NoRate: a parameter group has no 'lr'"),
])  # fmt: skip
def test_a_mistake_is_named(model, loss, rule, words):
    data, model = data_of(), model.double()
    optimizer = (rule or gd.GD)(model.parameters(), lr=0.05)
    with pytest.raises(gd.UserError, match=words):
        gd.Trainer(
            model, loss, optimizer, gd.MiniBatch(data.rows, 5), data, epochs=2, engine="eager"
        ).fit()


def test_sparse_gradients_train_on_the_plain_loop():
    class Embedded(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(5, 1, sparse=True)

        def forward(self, x):
            return self.table((x[:, 0] > 0).long())

    data, model = data_of(), Embedded().double()
    rule = torch.optim.SGD(model.parameters(), lr=0.05)
    result = gd.Trainer(model, gd.MSE(), rule, gd.MiniBatch(data.rows, 5), data, epochs=5).fit()
    assert result.objective < result.history["objective"][0]
