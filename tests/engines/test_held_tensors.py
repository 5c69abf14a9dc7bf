"""A tensor that a model holds and does not change keeps no engine from compiling the model."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from thinned import thinned
from torch import nn

import gdframe as gd

GLOBAL = torch.linspace(-1, 1, 4, dtype=torch.float64)


class Holds(nn.Module):
    """Shifts features by a tensor that its class says how to hold."""

    def __init__(self, outputs):
        super().__init__()
        self.inner, self.outer = nn.Linear(4, 3), nn.Linear(3, outputs)
        self.hold(GLOBAL.clone())

    def hold(self, shift):
        raise NotImplementedError

    def shift(self):
        return self.held

    def forward(self, x):
        return self.outer(torch.tanh(self.inner(x - self.shift())))


class Buffer(Holds):
    def hold(self, shift):
        self.register_buffer("held", shift)


class Attribute(Holds):
    def hold(self, shift):
        self.held = shift


class InList(Holds):
    def hold(self, shift):
        self.held = [shift]

    def shift(self):
        return self.held[0]


class InNamespace(Holds):
    def hold(self, shift):
        self.held = SimpleNamespace(shift=shift)

    def shift(self):
        return self.held.shift


class InClosure(Holds):
    def hold(self, shift):
        self.shift = lambda: shift


class OnClass(Holds):
    held = GLOBAL.clone()

    def hold(self, shift):
        pass


class InGlobals(Holds):
    def hold(self, shift):
        pass

    def shift(self):
        return GLOBAL


class Frozen(Holds):
    def hold(self, shift):
        self.held = nn.Parameter(shift, requires_grad=False)


KINDS = [Buffer, Attribute, InList, InNamespace, InClosure, OnClass, InGlobals, Frozen]


@pytest.mark.parametrize(
    ("kind", "outputs"), thinned([(kind, outputs) for outputs in (2, 1) for kind in KINDS], 16)
)
def test_a_model_that_holds_a_tensor_is_compiled(kind, outputs):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(20, 4, generator=draw, dtype=torch.float64)
    data = gd.Dataset.from_arrays(x, x[:, :outputs], dtype=torch.float64)
    results = []
    for engine in ("eager", "compiled"):
        torch.manual_seed(0)
        model = kind(outputs).double()
        optimizer = gd.GD(model.parameters(), 0.1)
        trainer = gd.Trainer(
            model, gd.MSE(), optimizer, gd.MiniBatch(20, 5), data, epochs=2, engine=engine
        )
        results.append(trainer.fit())
    assert [result.engine for result in results] == ["eager", "compiled"]
    assert results[0].objective == pytest.approx(results[1].objective, rel=1e-12)
