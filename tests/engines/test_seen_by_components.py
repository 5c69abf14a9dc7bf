"""What users' components see and write beside their arguments: rows, and other names of weights."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import gdframe as gd

X = np.random.default_rng(0).standard_normal((30, 3))


def data_of(targets=None):
    y = X @ [1.0, 2.0, 3.0] if targets is None else targets
    return gd.Dataset.from_arrays(X, y, validation=0.2, dtype=torch.float64)


def fit(model, loss=None, engine="auto", data=None, size=30, **settings):
    data = data or data_of()
    model = model.double()
    loader = gd.MiniBatch(data.rows, min(size, data.rows))
    return gd.Trainer(
        model, loss or gd.MSE(), gd.GD(model.parameters(), lr=0.05), loader, data,
        epochs=4, engine=engine, **settings,
    ).fit()  # fmt: skip


# rows

WRITES = {
    ".data": lambda x: x.data.clamp_(-0.5, 0.5),
    "numpy": lambda x: np.multiply(x.numpy(), 0.9, out=x.numpy()),
    "order": lambda x: x.data.copy_(x.data.flip(0).clone()),
    "detach": lambda x: x.detach().numpy().fill(1.0),
}


@pytest.mark.parametrize("when", ["always", "evaluation"])
@pytest.mark.parametrize("write", WRITES)
def test_a_model_that_writes_into_the_rows_is_refused(write, when):
    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def forward(self, x):
            if when == "always" or not self.training:
                WRITES[write](x)
            return self.layer(x)

    with pytest.raises(gd.UserError, match=r"model Writes: (writes into|forward changes)"):
        fit(Writes(), size=5)


def test_a_loss_that_writes_into_the_targets_is_refused():
    class Writes(gd.Loss):
        def __call__(self, outputs, targets):
            targets.data.sub_(0.1 * targets.data.mean())
            return ((outputs - targets) ** 2).mean()

    with pytest.raises(gd.UserError, match="loss Writes: writes into"):
        fit(gd.Linear(3), Writes())


def test_a_batch_is_the_models_own():
    class Clamps(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def forward(self, x):
            if self.training:  # the rows of a mini-batch are a copy
                x.data.clamp_(-0.5, 0.5)
            return self.layer(x)

    data = data_of()
    before = data.train.features.clone()
    fit(Clamps(), data=data, size=5)
    assert torch.equal(data.train.features, before)


# parameters by other names

NAMES = {
    "detached": lambda weight: weight.detach(),
    "numpy": lambda weight: weight.detach().numpy(),
    "a row": lambda weight: weight.data[0],
    "in a list": lambda weight: [weight.detach()],
    "in a function": lambda weight: partial(torch.sum, weight.detach()),
}


@pytest.mark.parametrize("engine", ["linear", "gram", "compiled"])
@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_knows_its_weights_by_another_name_is_refused(name, engine):
    class Looking(gd.LinearModel):
        def __init__(self):
            super().__init__(3, 1, bias=True)
            self.seen = NAMES[name](self.weight)

        def design(self, x):
            return x

    data, model = data_of(), Looking().double()
    model.seen = NAMES[name](model.weight)
    loader = gd.FullBatch(data.rows)
    rule = gd.GD(model.parameters(), lr=0.05)
    with pytest.raises(gd.CannotExecute, match="Looking"):
        gd.Trainer(model, gd.MSE(), rule, loader, data, epochs=4, engine=engine)


# targets that a loss encodes


class LogMSE(gd.MSE):
    def encode(self, targets, dtype):
        return targets.log().to(dtype)

    def predict(self, outputs):
        return outputs.exp()


class Scaled(gd.MSE):
    def encode(self, targets, dtype):
        return (targets / 10).to(dtype)

    def predict(self, outputs):
        return 10 * outputs


class Median(gd.Metric):
    """The median error, on all rows at once."""

    task = "regression"

    def __call__(self, predicted, targets):
        return (predicted - targets).abs().median()


@pytest.mark.parametrize("engine", ["eager", "linear", "gram"])
@pytest.mark.parametrize("loss", [LogMSE, Scaled])
def test_metrics_compare_values_with_values(engine, loss):
    data = data_of(np.exp(X @ [0.1, 0.2, 0.3] + 1))
    model = gd.Linear(3).double()
    metrics = [*map(gd.METRICS.build, ["r2", "rmse", "mae"]), Median()]
    result = gd.Trainer(
        model, loss(), gd.GD(model.parameters(), lr=0.1), gd.FullBatch(data.rows), data,
        epochs=5, engine=engine, metrics=metrics,
    ).fit()  # fmt: skip
    for part, rows in (("train", data.train), ("validation", data.validation)):
        with torch.no_grad():
            error = loss().predict(result.module(rows.features)) - rows.targets
        metrics = result.metrics[part]
        spread = rows.targets - rows.targets.mean()
        expected = 1 - float(error.square().sum() / spread.square().sum())
        assert metrics["r2"] == pytest.approx(expected, rel=1e-9)
        assert metrics["rmse"] == pytest.approx(float(error.square().mean().sqrt()), rel=1e-9)
        assert metrics["mae"] == pytest.approx(float(error.abs().mean()), rel=1e-9)
        assert metrics["Median"] == pytest.approx(float(error.abs().median()), rel=1e-9)


# evaluations leave no trace


class Annealed(gd.Loss):
    """Counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, outputs, targets):
        self.calls += 1
        return ((outputs - targets) ** 2).mean() * (1 + 1 / self.calls)


class Initialised(nn.Module):
    """Initialises itself from the first rows that it sees."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.register_buffer("is_ready", torch.tensor(False))
        self.register_buffer("scale", torch.ones(3))

    def forward(self, x):
        if not self.is_ready:
            self.scale.copy_(1 / x.detach().std(0))
            self.is_ready.fill_(True)
        return self.layer(x * self.scale)


@pytest.mark.parametrize(
    ("make", "loss"), [(lambda: nn.Linear(3, 1), Annealed), (Initialised, gd.MSE)]
)
def test_an_evaluation_leaves_no_trace(make, loss):
    torch.manual_seed(0)
    first = make().double()
    data = data_of()
    second = type(first)(3, 1) if isinstance(first, nn.Linear) else make()
    second.double().load_state_dict(first.state_dict())
    value, loader = loss(), gd.MiniBatch(data.rows, 6)
    rule = torch.optim.SGD(second.parameters(), lr=0.05)
    for epoch in range(4):
        order = loader.order(epoch, 0)
        for k in range(loader.steps_per_epoch):
            rows = order[k * 6 : (k + 1) * 6]
            rule.zero_grad()
            value(second(data.train.features[rows]), data.train.targets[rows]).backward()
            rule.step()
    fit(first, loss(), engine="eager", data=data, size=6)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


# mistakes that PyTorch reports without a name


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


# calls that no step makes


class Standardised(gd.MSE):
    """Learns the scale of the targets from the first ones that it encodes."""

    mean = scale = None

    def encode(self, targets, dtype):
        if self.mean is None:
            self.mean, self.scale = float(targets.mean()), float(targets.std())
        return ((targets - self.mean) / self.scale).to(dtype)

    def predict(self, outputs):
        return outputs * self.scale + self.mean


@pytest.mark.parametrize("metrics", [None, ["r2"]])
@pytest.mark.parametrize("engine", ["eager", "linear", "auto"])
def test_a_loss_learns_from_all_rows_whoever_asks_first(engine, metrics):
    loss, data = Standardised(), data_of(X @ [1.0, 2.0, 3.0] + 50)
    fit(gd.Linear(3), loss, engine, data, size=8, metrics=metrics)
    assert loss.mean == pytest.approx(float(data.train.targets.mean()))


class AnnealedPenalty(gd.Penalty):
    """Grows with its calls."""

    calls = 0

    def value(self, weights):
        self.calls += 1
        return self.strength * self.calls * sum((w**2).sum() for w in weights)


@pytest.mark.parametrize("loss", [gd.MSE, Annealed])
def test_named_metrics_do_not_change_what_a_component_counts(loss):
    ends = []
    for metrics in (None, ["r2", "rmse"]):
        torch.manual_seed(0)
        penalty = AnnealedPenalty(strength=0.001)
        result = fit(
            gd.Linear(3), loss(), "eager", size=6, metrics=metrics, penalty=penalty
        )  # fmt: skip
        ends.append(result.history["objective"])
    assert np.array_equal(*ends)


class Centred(gd.MSE):
    """Moves its predictions by what it has predicted before."""

    bias = 0.0

    def predict(self, outputs):
        self.bias = 0.5 * self.bias + 0.5 * float(outputs.mean() - 5)
        return outputs - self.bias


def test_a_prediction_leaves_no_trace():
    ends = []
    for engine in ("eager", "linear", "gram"):
        torch.manual_seed(0)
        loss = Centred()
        ends.append(fit(gd.Linear(3), loss, engine).history["train/r2"])
        assert loss.bias == 0
    for end in ends[1:]:
        np.testing.assert_allclose(end, ends[0], rtol=1e-9)


def test_what_an_evaluation_writes_into_parameters_is_put_back():
    class Rounds(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def forward(self, x):
            if not self.training:
                with torch.no_grad():
                    self.layer.weight.copy_(self.layer.weight.round())
            return self.layer(x)

    result = fit(Rounds(), engine="eager", size=6)
    weight = result.module.layer.weight.detach()
    assert not torch.equal(weight, weight.round())


@pytest.mark.parametrize("engine", ["eager", "linear", "gram"])
def test_a_parameter_has_no_gradient_between_steps(engine):
    model, seen = gd.Linear(3), []

    class Reads(gd.Observer):
        def on_epoch(self, run):
            seen.extend(p.grad for p in model.parameters())

    fit(model, engine=engine, observers=[Reads()])
    assert seen
    assert all(gradient is None for gradient in seen)
