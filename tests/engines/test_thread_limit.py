"""Small work is computed on one thread, whatever the caller allows; large work on all."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import nn

import gdframe as gd
from gdframe.engines import thread_limit
from gdframe.engines.thread_limit import one_thread_if_small, products_of


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def problem(model, features=10, rows=100):
    data = gd.Dataset.from_arrays(torch.randn(rows, features), torch.randn(rows))
    optimizer = gd.GD(model.parameters(), lr=0.01)
    objective = gd.Objective(model, gd.MSE())
    return gd.Problem(objective, optimizer, gd.Constant(), 0), data


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.MultiheadAttention(10, 2)

    def forward(self, x):
        return self.layer(x, x, x)[0][:, :1]


MODELS = [
    (lambda: gd.Linear(10), 11),
    (lambda: gd.MLP(10, hidden=[8]), 97),
    (lambda: nn.Sequential(nn.Linear(10, 8), nn.Tanh(), nn.Linear(8, 1)), 97),
    (lambda: nn.Sequential(nn.Unflatten(1, (1, 10)), nn.Conv1d(1, 1, 3), nn.Flatten()), 10 * 14),
    (Attention, 10 * 450),
]


@pytest.mark.parametrize(("make", "products"), MODELS)
def test_the_size_of_a_call_decides(make, products):
    run, data = problem(make())
    for runs in (1, 7):
        rows = thread_limit.SMALL / products / runs
        for count, expected in ((int(rows * 0.99), 1), (int(rows * 1.01) + 1, 3)):
            with one_thread_if_small(products_of([run] * runs, data, count)):
                assert torch.get_num_threads() == expected
            assert torch.get_num_threads() == 3


def test_the_callers_number_comes_back_after_an_error():
    run, data = problem(gd.Linear(10))
    with pytest.raises(KeyError), one_thread_if_small(products_of([run], data)):
        raise KeyError
    assert torch.get_num_threads() == 3

    def epoch_end(self, *_):
        self.seen.add(torch.get_num_threads())


class WatchesSteps(gd.MSE):
    seen: ClassVar[set[int]] = set()

    def __call__(self, outputs, targets):
        self.seen.add(torch.get_num_threads())
        return super().__call__(outputs, targets)


@pytest.mark.parametrize(("rows", "threads"), [(100, 1), (70_000, 3)])
def test_steps_of_a_run_are_on_one_thread_if_they_are_small(rows, threads):
    WatchesSteps.seen = set()
    model = gd.MLP(50, hidden=[50])
    data = gd.Dataset.from_arrays(torch.randn(rows, 50), torch.randn(rows))
    loader, rule = gd.MiniBatch(rows, rows // 5), gd.GD(model.parameters(), lr=0.01)
    gd.Trainer(model, WatchesSteps(), rule, loader, data, epochs=1, engine="eager").fit()
    assert threads in WatchesSteps.seen  # traces of evaluations are put back
    assert torch.get_num_threads() == 3


def test_a_small_run_is_the_same_on_any_number_of_threads():
    ends = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        result = gd.train("data=iris", "engine=eager", "lr=0.1", "epochs=5", "model=mlp")
        ends.append(result.objective)
    assert len(set(ends)) == 1
