"""A model is put in training mode once an epoch, however its steps are cut into blocks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gdframe as gd

DATA = gd.Regression(rows=40, features=3, noise=0.3).load(dtype=torch.float64)


class Curriculum(nn.Module):
    def __init__(self):
        super().__init__()
        self.line, self.epoch = nn.Linear(3, 1).double(), 0

    def train(self, mode=True):
        if mode:
            self.epoch += 1
        return super().train(mode)

    def forward(self, x):
        return self.line(x * (1 + 1 / (1 + self.epoch)) if self.training else x)


class Freezes(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.line, self.steps = nn.BatchNorm1d(3).double(), nn.Linear(3, 1).double(), 0

    def forward(self, x):
        if self.training:
            self.steps += 1
            if self.steps == 6:
                self.norm.eval()
        return self.line(self.norm(x))


def plain(model, epochs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    x, y = DATA.train.features, DATA.train.targets
    for _ in range(epochs):
        model.train()
        for rows in torch.arange(len(x)).split(4):
            optimizer.zero_grad()
            ((model(x[rows]) - y[rows]) ** 2).mean().backward()
            optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("block", [1, 3, 100])
@pytest.mark.parametrize("kind", [Curriculum, Freezes])
def test_blocks_and_evaluations_leave_the_mode_alone(kind, block):
    torch.manual_seed(0)
    model = kind()
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    expected = plain(model, 3)
    other = kind()
    other.load_state_dict(initial)
    rule = gd.GD(other.parameters(), lr=0.05)
    run = gd.Problem(gd.Objective(other, gd.MSE()), rule, gd.Constant(), 0)
    loader = gd.MiniBatch(DATA.rows, 4, shuffle=False)
    engine = gd.build_engine("eager", [run], DATA, loader, epochs=3)
    done = 0
    while done < engine.clock.steps_per_epoch * 3:
        last = min(done + block, engine.clock.epoch_end(done))
        engine.advance(done, last)
        engine.evaluate("train")
        done = last
    for actual, value in zip(other.parameters(), expected, strict=True):
        torch.testing.assert_close(actual.detach(), value, rtol=1e-10, atol=1e-12)


def test_a_group_that_shrinks_within_an_epoch_leaves_the_mode_alone():
    runs = []
    for _ in range(3):
        model = Curriculum()
        rule = gd.GD(model.parameters(), lr=0.05)
        runs.append(gd.Problem(gd.Objective(model, gd.MSE()), rule, gd.Constant(), 0))
    loader = gd.MiniBatch(DATA.rows, 4, shuffle=False)
    engine = gd.build_engine("eager", runs, DATA, loader, epochs=3)
    engine.advance(0, 2)
    fewer = engine.only([0, 2])
    fewer.advance(2, 4)
    fewer.advance(4, engine.clock.steps_per_epoch)
    fewer.advance(engine.clock.steps_per_epoch, engine.clock.steps_per_epoch + 1)
    assert [run.objective.model.epoch for run in runs] == [2, 1, 2]
