"""The search for a learning rate on quadratics, whose best rate is known, and on made-up trials."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from thinned import thinned
from torch import nn

import gdframe as gd
from gdframe.diagnostics.learning_rate import FALLBACK
from gdframe.diagnostics.learning_rate.automatic import choose_rate, stability_at_start
from gdframe.diagnostics.learning_rate.budget import SIZES, effort
from gdframe.diagnostics.learning_rate.search import NEAR, Range, Search, default_range
from gdframe.diagnostics.learning_rate.trial_course import Trial
from gdframe.diagnostics.learning_rate.trials import Trials, with_lr
from gdframe.engines.eager import Eager
from gdframe.engines.stacked_engine import Stacked


def quadratic(condition_number: float, epochs: int = 30) -> gd.RunSpec:
    model = gd.Quadratic(condition_number=condition_number)
    optimizer = gd.GD(model.parameters(), lr=FALLBACK)
    return gd.RunSpec(
        model, None, optimizer, gd.FullBatch(1), gd.Dataset.none(dtype=model.x.dtype), epochs=epochs
    )


class MadeUp(Trials):
    """Trials with a known outcome by learning rate, and no training."""

    def __init__(self, objective, start=1.0, steps_of_run=10, validation=None, as_run=None) -> None:
        spec = quadratic(10.0, epochs=steps_of_run)
        super().__init__(spec.problem, spec.data, spec.loader, epochs=steps_of_run)
        self.objective, self.start, self.validation = objective, start, validation
        self.groups: list[int] = []
        self.as_run, self.confirmed = as_run or objective, set()

    def train(self, rates, steps, *, as_runs=False):
        self.groups.append(len(rates))
        self.confirmed |= {*rates} if as_runs else set()
        loss, objective = self.validation or (lambda lr: None), self.objective
        if as_runs:
            objective = self.as_run
        return [Trial(lr, objective(lr), loss(lr)) for lr in rates]


def valley(best: float, diverges: float = math.inf):
    """An objective that is lowest at a rate, in the logarithm of the rate."""

    def objective(lr: float) -> float:
        return math.nan if lr >= diverges else 0.1 + math.log10(lr / best) ** 2 / 200

    return objective


@given(st.floats(-10, 3), st.floats(0, 1), st.integers(5, 40), st.integers(2, 12))
def test_the_best_rate_is_found_wherever_it_is_and_never_at_an_edge(place, margin, points, finer):
    best = 10**place
    trials = MadeUp(valley(best, best * 10 ** (0.5 + margin)))
    search = Search(trials, 10, Range(1e-5, 10.0))
    search.run(points, finer)
    chosen = search.by_objective()
    assert search.tried[0].lr < chosen.lr < search.tried[-1].lr
    assert chosen.lr == search.best.lr
    ratio = 1e6 ** (1 / (points - 1))
    assert abs(math.log(chosen.lr / best)) <= math.log(ratio) + 0.01
    assert all(2 <= size <= max(points, finer) for size in trials.groups)


@given(st.floats(-4, 0), st.floats(0.1, 10))
def test_no_rate_above_a_limit_is_chosen(place, share):
    limit = 10**place
    search = Search(MadeUp(valley(share * limit)), 10, Range(1e-4 * limit, 4 * limit, limit))
    search.run(20, 5)
    assert search.by_objective().lr <= limit
    assert search.by_validation().lr <= limit


@given(st.floats(-3, 3))
def test_of_rates_that_are_nearly_as_good_the_one_with_the_lowest_validation_loss_is_chosen(shift):
    data = gd.Dataset.from_arrays([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0])
    trials = MadeUp(valley(0.1), validation=lambda lr: abs(math.log10(lr / 0.1) - shift))
    trials.data = gd.Dataset(data.train, data.train, data.encoding, data.task)
    search = Search(trials, 10, Range(1e-5, 10.0))
    search.run(40, 12)
    chosen, lowest = search.by_objective(), search.best.objective
    assert chosen.objective <= lowest * (1 + NEAR)
    near = [t for t in search.usable if t.objective <= lowest * (1 + NEAR)]
    assert chosen.validation_loss == min(t.validation_loss for t in near)
    assert search.by_validation().validation_loss <= chosen.validation_loss


@given(st.floats(-4, 0), st.floats(0.0, 0.5))
def test_a_rate_whose_run_ends_early_is_judged_by_where_it_ends(place, loss):
    """Where the objective is lowest, a run converges early, and so higher."""
    course = valley(10**place)

    def as_run(lr: float) -> float:
        is_early = abs(math.log10(lr) - place) < 1
        return course(lr) + loss * is_early

    trials = MadeUp(course, as_run=as_run)
    search = Search(trials, 10, Range(1e-5, 10.0))
    search.run(40, 12)
    search.confirm(12, 0.0)
    reached = {trial.lr: trial.objective for trial in search.tried}
    assert {search.best.lr, search.by_objective().lr} <= trials.confirmed
    assert all(reached[lr] == as_run(lr) for lr in trials.confirmed)
    lowest = min(course(10**place) + loss, as_run(10 ** (place - 1.1)))
    assert reached[search.best.lr] <= lowest + 0.005  # between points of the grid


@pytest.mark.parametrize("hidden", [None, 2])
def test_a_trial_as_a_run_ends_where_the_run_does(hidden):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 3, generator=generator)
    data = gd.Dataset.from_arrays(
        x, x @ torch.tensor([1.0, 2.0, 3.0]) + torch.randn(60, generator=generator)
    )
    stopping = gd.Stopping(rules=[gd.Improvement(tolerance=1e-3, patience=3)])

    def trainer(lr):
        torch.manual_seed(0)
        model = gd.Linear(3) if hidden is None else gd.MLP(3, hidden=[hidden])
        parts = model, gd.MSE(), gd.GD(model.parameters(), lr=lr), gd.FullBatch(60), data
        return gd.Trainer(*parts, epochs=400, stopping=stopping, engine="eager")

    spec = trainer(0.1).run.spec
    trials = Trials(spec.problem, data, spec.loader, epochs=400, stopping=stopping)
    rates = [0.045, 0.05]  # at which the objective falls to the end
    endless = trials.train(rates, 400)
    ended = trials.train(rates, 400, as_runs=True)
    for lr, whole, trial in zip(rates, endless, ended, strict=True):
        result = trainer(lr).fit()
        assert result.status == "converged"
        assert trial.objective == pytest.approx(result.history["objective"][-1], rel=1e-5)
        assert whole.objective < trial.objective


def test_a_part_of_a_run_chooses_at_most_half_of_what_diverges():
    for steps, factor in ((5, 0.5), (10, 1.0)):
        search = Search(MadeUp(valley(1.0, 1.2)), steps, Range(1e-5, 10.0))
        search.run(40, 12)
        assert search.by_objective().lr <= factor * search.too_large


def test_without_a_rate_that_lowers_the_objective_there_is_none():
    search = Search(MadeUp(lambda lr: 2.0), 10, Range(1e-5, 10.0))
    search.run(10, 4)
    assert search.by_objective() is None
    assert search.by_validation() is None


@pytest.mark.parametrize("condition_number", [1.0, 10.0, 100.0])
def test_a_rate_of_a_quadratic_is_near_the_best_of_theory(condition_number):
    spec = quadratic(condition_number)
    choice = choose_rate(spec.problem, spec.data, spec.loader, epochs=spec.epochs)
    best, limit = 2 / (1 + condition_number), 2 / condition_number  # of curvatures from 1
    assert 0.7 * best < choice.lr < limit
    again = choose_rate(spec.problem, spec.data, spec.loader, epochs=spec.epochs)
    assert again == choice


def test_trials_leave_the_run_as_it_is():
    spec = quadratic(10.0)
    before = spec.model.x.detach().clone()
    choose_rate(spec.problem, spec.data, spec.loader, epochs=spec.epochs)
    assert (spec.model.x == before).all()
    assert spec.lr == FALLBACK
    assert not spec.optimizer.state


@pytest.mark.parametrize(
    ("model", "rule", "penalty"),
    [
        (lambda: gd.MLP(3, 2, hidden=[4]), gd.Adam, gd.L2(strength=0.1)),
        (lambda: gd.MLP(3, 2, hidden=[4]), gd.Momentum, None),
        (lambda: gd.Linear(3, 2), gd.RMSprop, gd.L1(strength=0.1)),
    ],
)
def test_stacked_steps_and_evaluations_equal_those_of_the_plain_loop(model, rule, penalty):
    rows = [[float(i % 3), float(i % 5), float(i * i % 7)] for i in range(21)]
    data = gd.Dataset.from_arrays(rows, ["a" if sum(row) > 6 else "b" for row in rows])
    built = model()
    gd.initialize(built, gd.Normal(), seed=0)
    loss = gd.CrossEntropy()
    spec = gd.RunSpec(
        built, loss, rule(built.parameters(), lr=0.1), gd.MiniBatch(21, 8), data, penalty, epochs=3
    )
    rates = [0.01, 0.05, 0.1]
    engines = [
        kind([with_lr(spec.problem, lr) for lr in rates], data, spec.loader, epochs=3)
        for kind in (Stacked, Eager)
    ]
    for first, last in ((0, 3), (3, 5), (5, 6)):
        stacked, eager = (engine.advance(first, last) for engine in engines)
        assert stacked.gradient_norm == pytest.approx(eager.gradient_norm, rel=1e-4)
    ours, theirs = (engine.evaluate("train", whole=False) for engine in engines)
    for mine, other in zip(ours, theirs):
        assert mine.objective == pytest.approx(other.objective, rel=1e-5)
        assert mine.loss == pytest.approx(other.loss, rel=1e-5)
        assert mine.gradient_norm == pytest.approx(other.gradient_norm, rel=1e-4)


class Raises(nn.Module):
    """Decomposes its weights, which raises where they are not finite, or always in training."""

    def __init__(self, always: bool) -> None:
        super().__init__()
        self.hidden, self.out, self.always = nn.Linear(2, 3), nn.Linear(3, 1), always

    def forward(self, x):
        if self.always and self.training:
            raise ArithmeticError("it never trains")
        return self.out(
            torch.tanh(self.hidden(x) / torch.linalg.matrix_norm(self.hidden.weight, 2))
        )


def with_model(model: nn.Module) -> gd.RunSpec:
    gd.initialize(model, gd.Normal(), seed=0)
    data = gd.Dataset.from_arrays(
        [[i % 3, i % 5] for i in range(20)], [float(i) for i in range(20)]
    )
    optimizer = gd.GD(model.parameters(), lr=FALLBACK)
    return gd.RunSpec(model, gd.MSE(), optimizer, gd.MiniBatch(20, 5), data, epochs=5)


@pytest.mark.parametrize("first", thinned([[0.001, 1e30], [0.001, 0.01]], 2))
def test_a_rate_at_which_a_model_raises_has_diverged(first):
    spec = with_model(Raises(always=False))
    trials = Trials(spec.problem, spec.data, spec.loader, epochs=5)
    results = [*trials.train(first, 20), *trials.train([1e30, 2e30], 20)]
    assert [trials.has_diverged(trial) for trial in results] == [lr > 1 for lr in first] + [
        True
    ] * 2
    expected = Trials(spec.problem, spec.data, spec.loader, epochs=5, engine="eager")
    alone = expected.train([0.001, 0.002], 20)[0]
    assert results[0].objective == pytest.approx(alone.objective, rel=1e-4)
    choice = choose_rate(spec.problem, spec.data, spec.loader, epochs=5)
    assert "rates tried" in choice.reason


def test_a_model_that_raises_at_each_rate_is_named():
    spec = with_model(Raises(always=True))
    choice = choose_rate(spec.problem, spec.data, spec.loader, epochs=5)
    assert choice.lr == FALLBACK
    assert "it never trains" in choice.reason


def test_a_search_is_as_large_as_its_budget_allows():
    short, long = (
        effort(Trials(s.problem, s.data, s.loader, epochs=s.epochs))
        for s in (quadratic(10.0, 20), quadratic(10.0, 100_000))
    )
    assert (short.points, short.finer, short.steps) == (*SIZES[0], 20)
    assert long.steps < 100_000 / 10
    assert default_range(None).limit == math.inf
    spec = quadratic(10.0)
    assert stability_at_start(spec.problem, spec.data, spec.loader) is not None
