"""Decisions of Python by the values of tensors, which a compiled loop would make in another way."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gdframe as gd

from .against_eager import DATA, against_eager, linear, loader_of, runs_of


class Gated(nn.Module):
    def __init__(self, most):
        super().__init__()
        self.a, self.gate = nn.Linear(3, 1), nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.most = most

    def forward(self, x):
        zero = torch.zeros((), dtype=x.dtype)
        return self.a(x) + self.most(self.gate, zero) * x.sum(1, keepdim=True)


class Trust(gd.Optimizer):
    def __init__(self, params, lr, eta=0.02):
        super().__init__(params, {"lr": lr, "eta": eta})

    @staticmethod
    def update(params, grads, state, hyper):
        rates = [
            min(1.0, hyper["eta"] * p.norm() / g.norm()) for p, g in zip(params, grads, strict=True)
        ]
        pairs = zip(params, grads, rates, strict=True)
        return [p - hyper["lr"] * r * g for p, g, r in pairs], state


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: runs_of(gd.GD, lambda _: Gated(max), 1, torch.float64),
        lambda: runs_of(gd.GD, lambda _: Gated(min), 1, torch.float64),
        lambda: runs_of(Trust, linear, 1, torch.float64),
        lambda: runs_of(
            gd.GD, lambda _: Gated(lambda *pair: sorted(pair)[-1]), 1, torch.float64
        ),
    ],
    ids=["max", "min", "rule", "sorted"],
)  # fmt: skip
def test_pythons_decisions_by_tensors_are_not_compiled(make):
    outcome = against_eager("compiled", make, loader_of("mini_batch"), {})
    assert outcome.reason
    assert not outcome.problem


def test_a_compiled_loop_refuses_max_of_tensors():
    with pytest.raises(gd.CannotExecute, match="number of Python from a tensor"):
        gd.build_engine(
            "compiled", runs_of(gd.GD, lambda _: Gated(max), 1, torch.float64), DATA,
            loader_of("mini_batch"), epochs=1,
        )  # fmt: skip


class Shifted(gd.MiniBatch):
    """Begins each epoch at a row that it computes as a tensor."""

    def order(self, epoch, seed):
        first = torch.tensor(epoch * 3 % self.rows).item()
        return torch.arange(self.rows).roll(first)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["compiled", "linear"])
def test_a_loader_may_decide_by_tensors(engine):
    outcome = against_eager(
        engine, lambda: runs_of(gd.GD, linear, 1, torch.float64), Shifted(DATA.rows, 5), {}
    )
    assert not outcome.reason
    assert not outcome.problem
