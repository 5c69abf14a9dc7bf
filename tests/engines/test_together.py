"""The evaluation of a group's runs at once equals that of each run."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import gdframe as gd
from gdframe.engines.stack import Stack
from gdframe.engines.together import evaluate_together

DATA = gd.Diabetes().load(dtype=torch.float64)


def runs_of(count):
    runs = []
    for seed in range(count):
        model = gd.MLP(DATA.features, 1, hidden=[4]).double()
        gd.initialize(model, gd.Normal(), seed=seed)
        objective = gd.Objective(model, gd.MSE(), gd.L2(strength=0.1))
        rule = gd.GD(model.parameters(), lr=0.1)
        runs.append(gd.Problem(objective, rule, gd.Constant(), seed))
    return runs


def evaluated(runs, *, gradient):
    rows = runs[0].objective.encode(DATA.train)
    return evaluate_together(Stack(runs), {}, rows, DATA, gradient=gradient)


@pytest.mark.parametrize("gradient", [True, False])
def test_evaluations_equal_those_of_each_run(gradient):
    runs = runs_of(3)
    rows = runs[0].objective.encode(DATA.train)
    for run, evaluation in zip(runs, evaluated(runs, gradient=gradient), strict=True):
        expected = run.evaluate(rows, DATA, gradient=gradient)
        for name in ("loss", "objective", "gradient_norms", "metrics"):
            assert getattr(evaluation, name) == pytest.approx(getattr(expected, name), rel=1e-12)
        assert bool(evaluation.gradient_norms) is gradient


class Reads(TorchDispatchMode):
    """Counts the numbers that are read from tensors one by one: on a GPU, each is a wait."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_a_larger_group_reads_no_more_numbers_one_by_one():
    counts = []
    for count in (2, 2, 6):  # the first evaluation fills caches of the rows
        runs = runs_of(count)
        with Reads() as reads:
            evaluated(runs, gradient=True)
        counts.append(reads.count)
    assert counts[1] == counts[2]
