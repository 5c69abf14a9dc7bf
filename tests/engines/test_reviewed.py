"""Ways to write a component that an engine once computed otherwise, without a word."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import gdframe as gd
from gdframe.engines.inexact import INEXACT
from gdframe.schedules.base import check_schedule

DATA = gd.Regression(rows=40, features=3, noise=0.3).load(dtype=torch.float64)

ENGINES = ["linear", "gram", pytest.param("compiled", marks=pytest.mark.slow)]


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc, self.dec = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.dec.weight = self.enc.weight
        self.out = nn.Linear(3, 1)

    def forward(self, x):
        return self.out(torch.tanh(self.dec(torch.tanh(self.enc(x)))))


def problem(model=None, *, lr=0.05, penalty=None, rule=gd.GD, seed=0, loss=None):
    if model is None:
        model = gd.Linear(DATA.features)
    model = model.double()
    objective = gd.Objective(model, loss or gd.MSE(), penalty)
    return gd.Problem(objective, rule(model.parameters(), lr=lr), gd.Constant(), seed)


def seeded(make):
    with gd.seeded(0, gd.Purpose.INITIALIZE):
        return make()


@pytest.mark.slow
def test_tied_parameters_are_handed_on_under_all_their_names():
    loader = gd.MiniBatch(DATA.rows, 8)
    runs = [problem(seeded(Tied), lr=lr) for lr in (0.05, 0.1)]
    group = gd.build_engine("compiled", runs, DATA, loader, epochs=2)
    group.advance(0, 3)
    for run in range(2):
        moved = group.parameters(run)["enc.weight"]
        eager = gd.build_engine("eager", [problem(seeded(Tied))], DATA, loader, epochs=2)
        eager.load_state(0, group.state(run))
        assert torch.equal(eager.parameters(0)["enc.weight"], moved)
        assert torch.equal(group.alone(run).parameters(0)["enc.weight"], moved)


class Table(gd.Penalty):
    """Chooses its form from a table of its own methods."""

    def __init__(self, *, strength=0.01, form="ridge"):
        super().__init__(strength=strength)
        self._forms, self.form = {"ridge": self._ridge}, form

    def _ridge(self, weights):
        return self.strength * sum((w**2).sum() for w in weights)

    def value(self, weights):
        return self._forms[self.form](weights)


class Closure(gd.Penalty):
    def __init__(self, *, strength=0.01):
        super().__init__(strength=strength)
        self.one = lambda w: self.strength * (w**2).sum()

    def value(self, weights):
        return sum(self.one(w) for w in weights)


@pytest.mark.parametrize("kind", [Table, Closure])
def test_penalties_that_refer_to_themselves_are_not_grouped_by_strength(kind):
    runs = [problem(penalty=kind(strength=s)) for s in (0.1, 0.5, 0.1, 0.1)]
    loader = gd.FullBatch(DATA.rows)
    for engine in (gd.Compiled, gd.LinearLoops, gd.Gram):
        assert "penalty" in engine.why_not(runs, DATA, loader)
    alike = [problem(penalty=kind(strength=0.1)) for _ in range(2)]
    assert gd.Compiled.why_not(alike, DATA, loader) is None


class Modal(gd.Linear):
    def design(self, features):
        return features if self.training else 0.9 * features


@pytest.mark.parametrize("engine", [gd.LinearLoops, gd.Gram])
def test_a_design_that_differs_between_training_and_evaluation_is_refused(engine):
    reason = engine.why_not([problem(Modal(3))], DATA, gd.FullBatch(DATA.rows))
    assert "differs between training and evaluation" in reason


FUNCTIONS = {
    "expm1": torch.expm1,
    "atanh": lambda x: torch.atanh(0.1 * torch.tanh(x)),
    "acosh": lambda x: torch.acosh(2 + x**2),
    "elu": nn.functional.elu,
    "celu": nn.functional.celu,
    "selu": nn.functional.selu,
    "erf": torch.erf,
    "gelu": lambda x: nn.functional.gelu(x.float()).to(x),
    "hardsigmoid": nn.functional.hardsigmoid,
    "var": lambda x: x / (1 + x.float().var()).to(x),
    "std": lambda x: x / (1 + x.float().std(0)).to(x),
    "var_mean": lambda x: x - torch.var_mean(x.float())[0].to(x),
    "std_mean": lambda x: x - torch.std_mean(x.float(), 0)[0].to(x),
    "special_ndtr": torch.special.ndtr,
    "floor_divide": lambda x: x.detach() // 0.1,
    "remainder": lambda x: x % 0.3,
}


def test_every_inexact_operation_has_a_case():
    assert FUNCTIONS.keys() == INEXACT.keys()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_inexact_operations_are_refused_by_the_compiled_engine(name):
    class Uses(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.outer = nn.Linear(3, 4), nn.Linear(4, 1)

        def forward(self, x):
            return self.outer(FUNCTIONS[name](self.inner(x)) + self.inner(x))

    with pytest.raises(gd.CannotExecute, match="otherwise than PyTorch"):
        gd.build_engine("compiled", [problem(Uses())], DATA, gd.MiniBatch(DATA.rows, 8), epochs=2)


class Anchored(gd.Optimizer):
    """Pulls towards the start."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @staticmethod
    def init_state(params):
        return {"anchor": [p.clone() for p in params]}

    @staticmethod
    def update(params, grads, state, hyper):
        pulls = [p - a for p, a in zip(params, state["anchor"])]
        return [p - hyper["lr"] * (g + d) for p, g, d in zip(params, grads, pulls)], state


@pytest.mark.parametrize("engine", ENGINES)
def test_an_initial_state_is_that_of_the_parameters_that_are_loaded(engine):
    loader = gd.FullBatch(DATA.rows)
    start = gd.build_engine("eager", [problem(rule=Anchored)], DATA, loader, epochs=9).state(0)
    start["model.weight"] = torch.full_like(start["model.weight"], 2.0)
    start = {name: value for name, value in start.items() if name.startswith("model.")}
    ends = []
    for name in ("eager", engine):
        built = gd.build_engine(name, [problem(rule=Anchored)], DATA, loader, epochs=9)
        built.load_state(0, start)
        for epoch in range(5):
            built.advance(epoch, epoch + 1)
        ends.append(built.parameters(0)["weight"].clone())
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-10, atol=0)


class Together(gd.Schedule):
    def factor(self, epochs, clock):
        return 1 - epochs / (1 + epochs.max())


def test_a_schedule_that_depends_on_what_is_asked_together_is_refused():
    with pytest.raises(gd.UserError, match="another factor when it is called again"):
        check_schedule(Together(), gd.Clock(10, 5), {})


class Trimmed(gd.MSE):
    def __call__(self, outputs, targets):
        error = outputs - targets
        return torch.where(error.abs() < 1000, error**2, error.abs() * 1000).mean()

    @staticmethod
    def kernel(z, y):
        error = z - y
        return error * error, error + error


def test_a_kernel_that_is_wrong_far_off_alone_is_refused():
    with pytest.raises(gd.CannotExecute, match="kernel of its loss Trimmed"):
        gd.build_engine(
            "linear", [problem(loss=Trimmed())], DATA, gd.PerSample(DATA.rows), epochs=2
        )


@pytest.mark.parametrize("engine", ENGINES)
def test_parameters_of_a_run_that_has_ended_stay(engine):
    runs = [problem(lr=lr) for lr in (0.05, 0.1)]
    group = gd.build_engine(engine, runs, DATA, gd.FullBatch(DATA.rows), epochs=9)
    group.advance(0, 1)
    group.copy_to_module(0)
    before = {name: p.clone() for name, p in group.parameters(0).items()}
    group.retire(0)
    group.advance(1, 2)
    for name, p in group.parameters(0).items():
        assert torch.equal(p, before[name])


UNARY = (
    "exp", "exp2", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan", "asin",
    "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "expm1",
    "lgamma", "digamma", "sigmoid", "sign", "abs", "floor", "ceil", "round", "trunc", "frac",
    "reciprocal", "square",
)  # fmt: skip
ACTIVATIONS = (
    "relu", "elu", "celu", "selu", "gelu", "silu", "softplus", "softsign", "hardtanh",
    "leaky_relu", "logsigmoid", "hardsigmoid", "hardswish", "mish", "relu6",
    "softshrink", "hardshrink",
)  # fmt: skip


def inexact_candidates():
    functions = {name: getattr(torch, name) for name in UNARY}
    return functions | {name: getattr(nn.functional, name) for name in ACTIVATIONS}


def differing_when_compiled(values, x, names, smallest):
    """Return the names whose values above ``smallest`` differ by more than rounding."""
    compiled = torch.compile(values, dynamic=False)(x)
    names, expected = list(names), torch.stack(values(x))
    limit = 1e-10 if expected.dtype == torch.float64 else 1e-4
    errors = (expected - torch.stack(compiled)).abs() / expected.abs()
    is_compared = torch.isfinite(expected) & (expected.abs() > smallest)
    assert is_compared.any()
    largest = torch.where(is_compared, errors, 0).amax(dim=1)
    return {name for name, error in zip(names, largest) if not error <= limit}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's, about itself
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_list_of_inexact_operations_is_complete(dtype):
    functions = inexact_candidates()
    sizes = torch.logspace(-8, 2, 2001, dtype=torch.float64).to(dtype)
    x = torch.cat([sizes, -sizes])

    def values(x):
        return [function(x) for function in functions.values()]

    assert all((torch.isfinite(a) & (a != 0)).any() for a in values(x))
    wrong = differing_when_compiled(values, x, functions, torch.finfo(dtype).tiny)
    assert "expm1" in wrong
    assert not wrong - INEXACT.keys()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's, about itself
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_slopes_of_other_operations_are_compiled_alike(dtype):
    """Slopes are compared where they are not tiny: near a tie they may be zero or one."""
    functions = inexact_candidates()
    x = torch.linspace(-6.2, 6.3, 4001, dtype=torch.float64).to(dtype)

    def slopes(x):
        return [torch.func.vmap(torch.func.grad(f))(x) for f in functions.values()]

    wrong = differing_when_compiled(slopes, x, functions, 1e-3)
    if dtype == torch.float64:
        assert "hardsigmoid" in wrong
    assert not wrong - INEXACT.keys()


class Bins(gd.LinearModel):
    """Steps at thresholds, of which float32 rounds two up and one down."""

    def __init__(self):
        super().__init__(3, 1, bias=True)

    def design(self, x):
        return torch.cat([(x <= edge).to(x.dtype) for edge in (0.1, 0.6, 0.7)], dim=1)


@pytest.mark.parametrize("engine", ["gram", "linear"])
def test_a_design_is_computed_in_the_type_of_the_run(engine):
    x = np.arange(220)[:, None] % 11 / 10
    y = (
        5.0 * (x <= 0.1)
        - 3.0 * (x <= 0.6)
        + 2.0 * (x <= 0.7)
        + 1e-3 * np.sin(np.arange(220))[:, None]
    )
    data = gd.Dataset.from_arrays(x, y[:, 0], validation=0.2, dtype=torch.float32)
    weights = []
    for name in ("eager", engine):
        model = Bins()
        with torch.no_grad():
            model.weight.zero_()
        trainer = gd.Trainer(
            model, gd.MSE(), gd.GD(model.parameters(), lr=0.3), gd.FullBatch(data.rows), data,
            engine=name, epochs=100,
        )  # fmt: skip
        assert trainer.fit().engine == name
        weights.append(model.weight.detach().clone())
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-4)
