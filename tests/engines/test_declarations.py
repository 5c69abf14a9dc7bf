"""Curvatures, penalties, objectives and models that are not what they declare are refused.

Where an engine executes a run all the same, it computes what the plain loop does.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import gdframe as gd
from gdframe.diagnostics.least_squares import least_squares
from gdframe.diagnostics.theory import theory_of
from gdframe.engines.expansion import why_not_quadratic_penalty
from gdframe.engines.functional import check_functional
from gdframe.engines.verification import DifferenceError

from .declaring import DATA, SINGLE, TWO, assert_follows_eager, assert_refused, build, problem

# penalties


class Ridge(gd.Penalty):
    """``strength * sum(w^2)``; subclasses change one thing."""

    def __init__(self, *, strength=0.3, biases=False):
        super().__init__(strength=strength, biases=biases)

    def value(self, weights):
        return self.strength * sum((w * w).sum() for w in weights)

    @property
    def curvature(self):
        return self.strength

    @staticmethod
    def kernel(w, strength):
        return strength * w * w, 2 * strength * w


def ridge(value, **more):
    return type("Written", (Ridge,), {
        "value": value, "kernel": staticmethod(Ridge.kernel), "curvature": Ridge.curvature, **more,
    })  # fmt: skip


Trained = ridge(lambda s, ws: s.strength * sum((w * w).sum() for w in ws if w.requires_grad))
Typed = ridge(
    lambda s, ws: s.strength * sum((w * w).sum() for w in ws if isinstance(w, nn.Parameter))
)
Marked = ridge(lambda s, ws: s.strength * sum((w * w).sum() * getattr(w, "decay", 1.0) for w in ws))
Half = ridge(lambda s, ws: 0.5 * s.strength * sum((w * w).sum() for w in ws))
BiasOnly = ridge(Ridge.value, select=lambda s, model: [model.bias])
Twice = ridge(Ridge.value, select=lambda s, model: [model.weight, model.weight])
Inner = ridge(Ridge.value, select=lambda s, model: [model.weight[:, 1:]])
Far = ridge(
    lambda s, ws: (
        s.strength * sum(torch.where(w.abs() < 50, w * w, 100 * w.abs() - 2500).sum() for w in ws)
    )
)


@pytest.mark.parametrize("engine", ["linear", "gram"])
@pytest.mark.parametrize("penalty", [Trained, Typed])
def test_a_penalty_is_evaluated_on_the_parameters_of_the_module(engine, penalty):
    assert_follows_eager(engine, lambda: [problem(penalty=penalty())])


def marked(data):
    model = gd.Linear(data.features)
    model.weight.decay = 0.0
    return model


@pytest.mark.parametrize("strength", [0.3, 1e-7])
@pytest.mark.parametrize("engine", ["linear", "gram"])
@pytest.mark.parametrize("penalty", [Marked, Half, Twice, Inner, Far])
def test_a_small_penalty_hides_no_difference(engine, penalty, strength):
    run = problem(marked(SINGLE), penalty=penalty(strength=strength), data=SINGLE)
    assert_refused(engine, [run], "penalty", SINGLE)


@pytest.mark.parametrize("kind", [BiasOnly, type("Own", (gd.L2,), {"select": BiasOnly.select})])
def test_a_penalty_of_biases_alone_is_refused_by_the_loops_only(kind):
    runs = [problem(penalty=kind(strength=1e-4), data=SINGLE)]
    assert_refused("linear", runs, "penalises something else than all weights", SINGLE)
    assert_follows_eager("gram", lambda: [problem(penalty=kind(strength=1e-4))])


@pytest.mark.parametrize("penalty", [Trained, Typed, Marked])
@pytest.mark.parametrize("data", [DATA, SINGLE])
def test_an_objective_of_tensors_is_that_of_the_module(penalty, data):
    rows = problem(data=data).objective.encode(data.train)
    run = problem(marked(data), penalty=penalty(strength=1e-6), data=data)
    with pytest.raises(DifferenceError, match="penalty is another one"):
        check_functional(run, rows, {})
    with pytest.raises(gd.CannotExecute, match="penalty is another one"):
        build("compiled", [run], data)
    check_functional(problem(marked(data), penalty=Ridge(), data=data), rows, {})


class Scaled(nn.Module):
    """Reads an attribute of its weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 3))
        self.weight.scale = 1 + 1e-4

    def forward(self, x):
        return x @ (self.weight * getattr(self.weight, "scale", 1.0)).T + self.weight.sum()


def test_a_model_that_reads_attributes_of_its_parameters_is_not_compiled():
    with pytest.raises(gd.CannotExecute, match="loss of the outputs is another one"):
        build("compiled", [problem(Scaled(), data=SINGLE)], SINGLE)


# groups


class Bridge(Ridge):
    """``strength * sum(|w|^power)``; kernel and curvature are those of the power two."""

    def __init__(self, *, power=2.0, strength=0.3):
        super().__init__(strength=strength)
        self.power = power

    def value(self, weights):
        return self.strength * sum(w.abs().pow(self.power).sum() for w in weights)

    @staticmethod
    def kernel(w, strength):
        return strength * w * w, 2 * strength * w

    @property
    def curvature(self):
        return self.strength


class Sometimes(Bridge):
    """Declares what holds: nothing but for the power two."""

    @staticmethod
    def square(w, strength):
        return strength * w * w, 2 * strength * w

    @staticmethod
    def quartic(w, strength):
        return strength * w * w * w * w, 4 * strength * w * w * w

    @property
    def kernel(self):
        return {2.0: self.square, 4.0: self.quartic}.get(self.power)

    def value(self, weights):
        return super().value(weights)

    @property
    def curvature(self):
        return self.strength if self.power == 2 else None


@pytest.mark.parametrize("engine", ["linear", "gram"])
@pytest.mark.parametrize("kind", [Bridge, Sometimes])
def test_each_run_of_a_group_is_checked(engine, kind):
    for powers in ([2, 1.5, 2, 2, 2], [2, 2, 2, 1.5, 2], [2, 3, 2], [2] * 17 + [3, 2]):
        runs = [problem(penalty=kind(power=float(power))) for power in powers]
        assert_refused(engine, runs, "penalty")
    assert_follows_eager(engine, lambda: [problem(penalty=kind(strength=s)) for s in (0.1, 0.2)])


def test_the_runs_of_a_group_have_one_kernel():
    runs = [problem(penalty=Sometimes(power=power)) for power in (2.0, 4.0)]
    assert_refused("linear", runs, "differ in the kernel of its penalty")
    for run in runs:
        build("linear", [run])


# models


class Gated(gd.LinearModel):
    def __init__(self, features):
        super().__init__(features, 1, bias=True)

    def gate(self):
        return torch.softmax(1e-4 * self.weight.detach()[0], 0)

    def design(self, x):
        return x * self.gate() * x.shape[1]


class Pruned(Gated):
    def gate(self):
        size = self.weight.detach()[0].abs()
        return ((size < 5.0) | (size > 6.0)) / 3.0


class Bounded(gd.Linear):
    def __call__(self, x):
        return super().__call__(x).clamp(-1e4, 1e4)


class Remembered(Gated):
    """Keeps its weight where no module looks."""

    def __init__(self, features):
        super().__init__(features)
        self.weights = [self.weight]

    def gate(self):
        return (self.weights[0].detach()[0].abs() < 5.0) / 3.0


class Shrunk(gd.LinearModel):
    """A batch with a large value is scaled."""

    def __init__(self, features):
        super().__init__(features, 1, bias=True)

    def design(self, x):
        top = x.abs().max()
        return torch.where(top > 30.0, x * 30.0 / top, x)


@pytest.mark.parametrize("engine", ["linear", "gram"])
@pytest.mark.parametrize(("model", "words"), [
    (Gated, "depends on its parameters"), (Pruned, "depends on its parameters"),
    (Remembered, "depends on its parameters"), (Bounded, "is not linear in its parameters"),
])  # fmt: skip
def test_a_model_that_is_not_linear_is_refused(engine, model, words):
    assert_refused(engine, [problem(model(3))], words)


def test_a_design_is_tried_on_the_rows_with_the_largest_values():
    values = np.random.default_rng(0).normal(size=(700, 3))
    values[650] = 40.0
    data = gd.Dataset.from_arrays(values, values.sum(axis=1), dtype=torch.float64)
    assert_refused("linear", [problem(Shrunk(3), data=data)], "depends on the other rows", data)


# diagnostics


def test_a_wrong_curvature_reaches_no_diagnosis():
    for penalty in (Half(), Far(strength=1e-7)):
        assert "half the second derivative" in why_not_quadratic_penalty(
            problem(penalty=penalty).objective
        )
        assert least_squares(problem(penalty=penalty).objective, DATA) is None
        logistic = problem(loss=gd.BinaryCrossEntropy(), penalty=penalty, data=TWO)
        assert theory_of(logistic.objective, TWO) is None
    assert why_not_quadratic_penalty(problem(penalty=Typed()).objective) is None
