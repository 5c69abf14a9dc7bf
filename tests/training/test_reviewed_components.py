"""Ways to write a component whose state or values training once got wrong, without a word."""

from __future__ import annotations

import ctypes
import queue

import numpy as np
import pytest
import torch
from activations import Activity, Remembering
from torch import nn

import gdframe as gd
from gdframe.hidden_state import HiddenState
from gdframe.models.by_row import RowTrials
from gdframe.models.lazy_layers import fill_lazy_layers

X = torch.from_numpy(np.random.default_rng(0).normal(size=(60, 3)))


class Holds:
    def __init__(self, value):
        self.value = value


SAVED = {
    "sparse": (
        lambda: torch.sparse_coo_tensor([[1]], torch.ones(1), (4,), check_invariants=False),
        lambda t: t.add_(
            torch.sparse_coo_tensor([[2]], torch.ones(1), (4,), check_invariants=False)
        ),
        lambda t: t.to_dense().tolist(),
    ),
    **{
        kind.__name__: (lambda kind=kind: kind(5), lambda g: g.random_raw(), lambda g: str(g.state))
        for kind in (np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64)
    },
}


@pytest.mark.parametrize("name", SAVED)
def test_state_written_in_c_is_seen_and_restored(name):
    make, change, read = SAVED[name]
    value = make()
    before, saved = read(value), HiddenState({"model": Holds(value)}, draws=False)
    assert saved.changed() is None
    change(value)
    assert saved.changed() is not None
    saved.restore()
    assert read(value) == before


@pytest.mark.parametrize(
    "value", [queue.SimpleQueue(), ctypes.c_long(3), np.random.SeedSequence(1), iter([1])],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_whose_state_is_not_seen_are_named(value):
    saved = HiddenState({"model": Holds(value)}, draws=False)
    assert saved.unseen == saved.opaque == "model.value"


class Codes(gd.Loss):
    """Whole numbers above 2^24 hold the target."""

    def encode(self, targets, dtype):
        return (targets.double() * 1000).round().long() + 2**25

    def __call__(self, outputs, codes):
        return ((outputs - ((codes - 2**25).double() / 1000).to(outputs)) ** 2).mean()


def test_encoded_whole_numbers_keep_their_digits_beside_weights():
    dtype = torch.float32
    y, weights = X.sum(1).numpy(), np.linspace(1.0, 3.0, len(X))
    data = gd.Dataset.from_arrays(X.to(dtype).numpy(), y, weights=weights, task="regression")
    model = gd.Linear(3).to(dtype)
    rule = gd.GD(model.parameters(), lr=0.01)
    result = gd.Trainer(
        model, Codes(), rule, gd.FullBatch(60), data, epochs=2, engine="eager"
    ).fit()
    with torch.no_grad():
        errors = (model(X.to(dtype)) - torch.from_numpy(np.round(y * 1000) / 1000)[:, None]) ** 2
    expected = float((errors[:, 0] * torch.from_numpy(weights)).sum() / weights.sum())
    assert result.objective == pytest.approx(expected, rel=1e-4)


def test_whole_numbers_that_no_float_holds_are_refused():
    class Large(Codes):
        def encode(self, targets, dtype):
            return super().encode(targets, dtype) + 2**60 + 1

    data = gd.Dataset.from_arrays(X.numpy(), X.sum(1).numpy(), weights=np.linspace(1, 2, 60))
    model = gd.Linear(3)
    with pytest.raises(gd.UserError, match="encode smaller ones"):
        gd.Trainer(model, Large(), gd.GD(model.parameters(), lr=1), gd.FullBatch(60), data)


class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.calls = nn.LazyLinear(4), nn.LazyBatchNorm1d(), 0

    def forward(self, x):
        self.calls += 1
        return self.norm(self.first(x))


def test_finding_shapes_leaves_no_trace_and_the_values_of_a_first_call():
    torch.manual_seed(0)
    called = Lazy()
    called(X.float())
    torch.manual_seed(0)
    model = Lazy()
    fill_lazy_layers(model, Lazy, X.float())
    assert model.calls == int(model.norm.num_batches_tracked) == 0
    assert torch.equal(model.first.weight, called.first.weight)
    assert type(model.norm) is nn.BatchNorm1d


class Clipped(gd.Linear):
    """Its design depends on the batch, and only where a batch is large."""

    def design(self, x):
        if len(x) < 20:
            return x
        limit = 3 * x.std(0)
        return torch.maximum(torch.minimum(x, limit), -limit)

    def forward(self, x):
        return super().forward(self.design(x))


@pytest.mark.parametrize("seed", range(5))
def test_a_design_of_large_batches_is_refused(seed):
    x = np.random.default_rng(seed).normal(size=(400, 3))
    data = gd.Dataset.from_arrays(x, x.sum(1))
    model = Clipped(3)
    with pytest.raises(gd.UserError, match="cannot execute this"):
        gd.Trainer(
            model, gd.MSE(), gd.GD(model.parameters(), lr=0.01), gd.MiniBatch(data.rows, 64), data,
            engine="linear",
        )  # fmt: skip


class Waves(gd.LinearModel):
    """Random Fourier features."""

    def __init__(self, features, outputs=1):
        super().__init__(20, outputs, bias=True)
        self.register_buffer("frequencies", torch.linspace(-2, 2, 20 * features).view(features, 20))

    def design(self, x):
        return torch.cos(x @ self.frequencies)


@pytest.mark.parametrize("rows", [40, 1000, 20_000])
def test_a_design_of_matrix_products_is_executed(rows):
    x = np.random.default_rng(0).normal(size=(rows, 64)).astype(np.float32)
    data = gd.Dataset.from_arrays(x, x.sum(1))
    model = Waves(64)
    trainer = gd.Trainer(
        model, gd.MSE(), gd.GD(model.parameters(), lr=0.01), gd.MiniBatch(data.rows, 32), data,
        engine="linear", epochs=1,
    )  # fmt: skip
    assert trainer.fit().engine == "linear"


def test_a_model_that_changes_is_tried_again():
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("steps", torch.zeros(()))

        def forward(self, x):
            return x - x.mean(0) if self.steps > 5 else x

    model = Late().eval()
    trials = RowTrials(model)
    assert trials.takes_rows_alone(X, 20)
    model.steps += 3
    assert trials.takes_rows_alone(X, 20)
    model.steps += 3
    assert not trials.takes_rows_alone(X, 20)


def test_a_zero_grad_of_ones_own_is_refused():
    class Leaky(gd.GD):
        def zero_grad(self, set_to_none=True):
            pass

    model, data = gd.Linear(3), gd.Dataset.from_arrays(X.numpy(), X.sum(1).numpy())
    with pytest.raises(gd.UserError, match="its own zero_grad"):
        gd.Trainer(model, gd.MSE(), Leaky(model.parameters(), lr=1), gd.FullBatch(60), data)


def test_a_penalty_on_activations_is_evaluated():
    model, data = Remembering(), gd.Dataset.from_arrays(X.numpy(), X.sum(1).numpy())
    result = gd.Trainer(
        model, gd.MSE(), gd.GD(model.parameters(), lr=0.05), gd.FullBatch(60), data,
        penalty=Activity(strength=0.1), epochs=3, engine="eager",
    ).fit()  # fmt: skip
    with torch.no_grad():
        loss = float(((model(X.float()) - X.float().sum(1, keepdim=True)) ** 2).mean())
        activity = float(model.hidden.mean())
    assert result.objective == pytest.approx(loss + 0.1 * activity, rel=1e-5)
