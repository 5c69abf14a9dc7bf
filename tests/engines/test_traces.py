"""Evaluations, predictions and trial calls change nothing that a component keeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fitted import X, data_of, fit, train_by_hand
from torch import nn

import gdframe as gd


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
    train_by_hand(second, loss(), data, gd.MiniBatch(data.rows, 6), lr=0.05, epochs=4)
    fit(first, loss(), engine="eager", data=data, size=6)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


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


class Range(nn.Module):
    """Widens a range by what it sees, once this is beyond the first range."""

    def __init__(self, widen):
        super().__init__()
        self.layer, self.last, self.widen = nn.Linear(3, 4), nn.Linear(4, 1), widen
        self.register_buffer("top", torch.tensor(1.9))
        self.seen, self.sizes = 1.9, [1.9]

    def forward(self, x):
        hidden = self.layer(x)
        with torch.no_grad():
            top = self.widen(self, hidden.abs().max())
        return self.last(torch.tanh(hidden / top))


def by_buffer(model, size):
    model.top.copy_(torch.maximum(model.top, size))
    return model.top


def by_number(model, size):
    model.seen = max(model.seen, float(size))
    return model.seen


def by_list(model, size):
    if size > model.sizes[-1]:
        model.sizes.append(float(size))
    return model.sizes[-1]


@pytest.mark.parametrize("widen", [by_buffer, by_number, by_list])
def test_a_late_trace_of_an_evaluation_is_put_back(widen):
    torch.manual_seed(1)
    data = gd.Dataset.from_arrays(X, 3 * X.sum(1), validation=0.3, dtype=torch.float64)
    models = [Range(widen).double() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    with torch.no_grad():
        assert models[0].layer(data.train.features).abs().max() < 1.9
    loader = gd.MiniBatch(data.rows, 6)
    train_by_hand(models[1], gd.MSE(), data, loader, lr=0.2, epochs=6)
    optimizer = torch.optim.SGD(models[0].parameters(), lr=0.2)
    gd.Trainer(models[0], gd.MSE(), optimizer, loader, data, epochs=6, engine="eager").fit()
    held = [(float(m.top), m.seen, m.sizes) for m in models]
    assert held[0] == held[1]
    assert max(held[0][:2]) > 1.9 or len(held[0][2]) > 1
    for a, b in zip(*(m.parameters() for m in models), strict=True):
        torch.testing.assert_close(a, b)
