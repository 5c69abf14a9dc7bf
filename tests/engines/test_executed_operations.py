"""The text of a function's operations says what is computed, and not on which values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import gdframe as gd
from gdframe.engines.compiled import Compiled
from gdframe.engines.executed_operations import ExecutedOperations, RefuseReading
from gdframe.engines.inexact import InexactOperationError


def text(function, *arguments):
    with ExecutedOperations(arguments) as executed:
        results = function(*arguments)
    return executed.text(results)


def draws(seed=0, rows=4, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(rows, 3, generator=generator, dtype=dtype) for _ in range(2)]


FUNCTIONS = {
    "sum": lambda a, b: a + b,
    "other order": lambda a, b: b + a,
    "difference": lambda a, b: a - b,
    "factor": lambda a, b: a + 2 * b,
    "another factor": lambda a, b: a + 3 * b,
    "first twice": lambda a, b: a + a,
    "alpha": lambda a, b: torch.add(a, b, alpha=2),
    "constant": lambda a, b: a + torch.tensor([1.0, 2.0, 3.0]),
    "another constant": lambda a, b: a + torch.tensor([1.0, 2.0, 4.0]),
    "part": lambda a, b: a[:2],
    "another part": lambda a, b: a[1:3],
    "in place": lambda a, b: a.clone().add_(b),
    "rows": lambda a, b: a.sum(0),
    "columns": lambda a, b: a.sum(1),
    "list": lambda a, b: torch.cat([a, b]),
    "other list": lambda a, b: torch.cat([b, a]),
    "type": lambda a, b: a.double(),
    "product": lambda a, b: a @ b.T,
    "argument": lambda a, b: b,
    "result": lambda a, b: (a + b, a)[1],
}


def test_each_function_has_its_own_text_whatever_the_values():
    texts = {name: text(function, *draws()) for name, function in FUNCTIONS.items()}
    assert len(set(texts.values())) == len(texts)
    for name, function in FUNCTIONS.items():
        assert text(function, *draws(1)) == texts[name]


def test_types_and_layouts_of_results_are_in_the_text():
    a, b = draws(rows=3)
    others = [draws(rows=3, dtype=torch.float64), (a.T, b.T), draws(rows=4)]
    texts = [text(FUNCTIONS["sum"], *arguments) for arguments in ((a, b), *others)]
    assert len(set(texts)) == 4


def test_what_is_compiled_otherwise_is_refused():
    with pytest.raises(InexactOperationError, match="expm1"):
        text(lambda a: torch.expm1(a), draws()[0])


@pytest.mark.parametrize("read", [
    lambda x: x.numpy(), lambda x: np.asarray(x), lambda x: x.tolist(), lambda x: x.data_ptr(),
    lambda x: x.untyped_storage(), lambda x: setattr(x, "data", x + 1), lambda x: max(x[0], x[1]),
    lambda x: float(x[0]), lambda x: bool(x[0] > 0), lambda x: 1 if x[0] > 0 else 2,
    lambda x: x[x > 0], lambda x: torch.nonzero(x), lambda x: torch.masked_select(x, x > 0),
    lambda x: torch.equal(x, x), lambda x: torch.unique(x), lambda x: torch.allclose(x, x),
    lambda x: torch.add(x, x, alpha=x[0]),
])  # fmt: skip
def test_code_that_could_decide_by_values_is_refused(read):
    with RefuseReading(), pytest.raises(InexactOperationError, match="does not follow"):
        text(read, torch.tensor([1.0, 2.0]))


def test_data_are_the_tensor_itself():
    def function(a, b):
        a.data.mul_(2)
        return a + b.data

    with RefuseReading():
        texts = [text(function, *draws(seed)) for seed in (0, 1)]
    assert texts[0] == texts[1]


class Scaled(nn.Module):
    """Has a buffer and a number."""

    def __init__(self, buffer=1.0, number=2.0):
        super().__init__()
        self.layer, self.number = nn.Linear(3, 1), number
        self.register_buffer("scale", torch.full((3,), buffer))

    def forward(self, x):
        return self.number * torch.tanh(self.layer(x * self.scale))


def operations(monkeypatch, runs, seed=0, *, rule=gd.Adam, strength=0.1, **settings):
    """Return the text of the pass that an engine would compile."""
    texts = []

    def note(self, one_pass, operations, tensors):
        texts.append(operations)
        raise RuntimeError("not compiled")

    monkeypatch.setattr("gdframe.engines.loop_package.LoopPackage.__init__", note)
    data = gd.Regression(rows=64, features=3, validation=0.0, seed=seed).load()
    problems = []
    for run in range(runs):
        torch.manual_seed(seed + run)
        model = Scaled(**settings)
        objective = gd.Objective(model, gd.MSE(), gd.L2(strength=strength * (1 + run)))
        optimizer = rule(model.parameters(), lr=0.01 * (1 + seed + run))
        problems.append(gd.Problem(objective, optimizer, gd.Constant(), seed + run))
    with pytest.raises(gd.UserError, match="not compiled"):
        Compiled(problems, data, gd.MiniBatch(data.rows, 4), epochs=2)
    return texts[0]


@pytest.mark.parametrize("runs", [1, 3])
def test_a_pass_of_an_engine_depends_on_what_is_compiled_into_it(monkeypatch, runs):
    first = operations(monkeypatch, runs)
    assert operations(monkeypatch, runs, seed=7) == first  # parameters, rows and rates
    assert operations(monkeypatch, runs, buffer=2.0) != first
    assert operations(monkeypatch, runs, number=3.0) != first
    assert operations(monkeypatch, runs, rule=gd.Momentum) != first
    # a number of the penalty that differs from run to run is an argument
    assert (operations(monkeypatch, runs, strength=0.2) == first) is (runs > 1)
