"""State in forms that files do not hold by themselves: shared, keyed, hooked, of other types."""

from __future__ import annotations

import enum
import re

import numpy as np
import pytest
import torch
from torch import nn

import gdframe as gd
from gdframe.engines.stored_state import read_state, write_state
from gdframe.runs.model_file import load_model
from gdframe.runs.packing import pack, unpack
from gdframe.sameness import same_values

X = np.random.default_rng(0).normal(size=(40, 3))


def data_of(dtype=torch.float32):
    return gd.Dataset.from_arrays(X, X.sum(1) + 1, dtype=dtype)


class Shared(nn.Module):
    """Its buffers begin as one tensor, and as its weight."""

    def __init__(self):
        super().__init__()
        self.layer, start = nn.Linear(3, 1), torch.zeros(3)
        self.register_buffer("mean", start)
        self.register_buffer("square", start)
        self.register_buffer("average", self.layer.weight.detach())
        self.register_buffer("tied", torch.ones(2))
        self.register_buffer("again", self.tied)

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
            self.square = 0.9 * self.square + 0.1 * x.square().mean(0)
            self.average = 0.9 * self.average + 0.1 * self.layer.weight.detach()
        return self.layer(x - self.mean)


def test_buffers_that_begin_as_one_tensor_are_loaded_apart():
    model = Shared()
    model.train()
    model(torch.from_numpy(X).float())
    state = {name: value.clone() for name, value in model.state_dict().items()}
    fresh = Shared()
    load_model(fresh, state)
    assert all(torch.equal(value, state[name]) for name, value in fresh.state_dict().items())
    assert fresh.tied.data_ptr() == fresh.again.data_ptr()


class Keyed(torch.optim.Optimizer):
    """Keeps state under numbers and tuples, and one counter for all parameters."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        parameters = [p for group in self.param_groups for p in group["params"]]
        first = self.state[parameters[0]]
        count = first.setdefault("count", torch.zeros(()))
        count += 1
        for p in parameters:
            state = self.state[p]
            state["count"] = count
            state[1] = p.grad + 0.5 * state.get(1, 0)
            state["m", 0] = 0.9 * state.get(("m", 0), 0.0) + 0.1
            state["flag"] = ~state.get("flag", np.bool_(False))
            scale = self.param_groups[0]["lr"] * state["m", 0] / float(count).__pow__(0.5)
            p -= scale * state[1] * (1.0 if state["flag"] else 0.5)


def run_of(optimizer, epochs, model=None):
    model = gd.Linear(3) if model is None else model
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    return gd.Trainer(
        model, gd.MSE(), optimizer(model.parameters(), 0.1), gd.MiniBatch(40, 10), data_of(),
        epochs=epochs, engine="eager",
    )  # fmt: skip


def test_states_under_any_key_and_shared_ones_come_back():
    whole, part, rest = (run_of(Keyed, epochs) for epochs in (6, 3, 6))
    whole.fit()
    part.fit()
    problem = rest.run.spec.problem
    stored = {name: value.clone() for name, value in read_state(part.run.spec.problem).items()}
    write_state(problem, stored)
    parameters = problem.optimizer.param_groups[0]["params"]
    counts = [problem.optimizer.state[p]["count"] for p in parameters]
    assert counts[0] is counts[1]
    first = problem.optimizer.state[parameters[0]]
    assert type(first["flag"]) is np.bool_
    assert set(first) == {"count", 1, ("m", 0), "flag"}
    resumed = run_of(Keyed, 6)
    resumed.run.restore(part.run.capture())
    resumed.fit()
    ends = [list(run.run.spec.model.parameters()) for run in (whole, resumed)]
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize("value", [Colour.RED, Level.HIGH, {"a": [Colour.RED]}])
def test_an_enum_is_refused_not_turned_into_text(value):
    with pytest.raises(gd.UserError, match=r"cannot be saved: it holds a (Colour|Level)"):
        pack({"state": value})


@pytest.mark.parametrize("value", [np.float32(0.1), np.bool_(True), np.int8(-3), np.float64(2.0)])
def test_numbers_of_numpy_keep_their_types(value):
    (again,) = unpack(pack({"a": [value]}))["a"]
    assert type(again) is type(value)
    assert again == value


class Hooked(nn.Linear):
    """Counts in a closure of a hook on its weight."""

    def __init__(self, kind):
        super().__init__(3, 1)
        count = {"n": 0}

        def hook(p):
            count["n"] += 1
            return None if kind == "post" else p / (1 + 0.1 * count["n"])

        if kind == "post":
            self.weight.register_post_accumulate_grad_hook(hook)
        else:
            self.weight.register_hook(hook)


@pytest.mark.parametrize("kind", ["grad", "post"])
def test_hooks_on_parameters_leave_no_trace_of_evaluations(kind, caplog):
    ends = []
    for every in (1, 5):
        model = Hooked(kind)
        with torch.no_grad():
            for p in model.parameters():
                p.zero_()
        trainer = gd.Trainer(
            model, gd.MSE(), gd.GD(model.parameters(), lr=0.1), gd.MiniBatch(40, 10), data_of(),
            epochs=5, evaluate_every=every, engine="eager",
        )  # fmt: skip
        ends.append(trainer.fit().objective)
        trainer.run.capture()
    assert ends[0] == ends[1]
    assert "checkpoints do not hold model parameter weight" in caplog.text


class Cycles(gd.GD):
    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.gains = iter([1.0, 0.5] * 1000)

    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            p.grad *= next(self.gains)
        return super().step(closure)


class Anchored(gd.GD):
    def step(self, closure=None):
        if not hasattr(self, "anchor"):
            self.anchor = torch.zeros(1)
        self.state[self.anchor]["n"] = self.state[self.anchor].get("n", 0) + 1
        return super().step(closure)


@pytest.mark.parametrize(
    ("rule", "message"),
    [(Cycles, "gains hides its state"), (Anchored, r"state\[a tensor that is not trained\]")],
)
def test_what_an_optimizer_hides_is_named(rule, message, caplog):
    trainer = run_of(rule, 2)
    trainer.fit()
    trainer.run.capture()
    assert any(re.search(message, record.message) for record in caplog.records)


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
def test_sparse_tensors_of_components_are_compared():
    dense = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    for form in (dense.to_sparse(), dense.to_sparse_csr(), dense.to_sparse_csc()):
        assert same_values(form, form.clone())
        assert not same_values(form, form * 2)
        assert not same_values(form, dense)


class Freezes(gd.Linear):
    """Trains its bias in training mode alone."""

    def train(self, mode=True):
        super().train(mode)
        self.bias.requires_grad_(mode)
        return self


def test_a_model_that_freezes_parameters_in_evaluation_trains():
    trainer = run_of(gd.GD, 3, Freezes(3))
    assert trainer.fit().status == "max_epochs"


class Expanded(nn.Module):
    """Its buffer is one value in memory, repeated."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.register_buffer("mean", torch.zeros(1).expand(3))
        self.register_buffer("windows", torch.zeros(4).unfold(0, 3, 1))

    def forward(self, x):
        return self.layer(x - self.mean - self.windows.sum())


def test_values_that_share_memory_within_a_buffer_are_loaded_apart():
    state = Expanded().state_dict()
    state["mean"], state["windows"] = torch.arange(3.0), torch.arange(6.0).reshape(2, 3)
    fresh = Expanded()
    load_model(fresh, state)
    assert all(torch.equal(value, state[name]) for name, value in fresh.state_dict().items())


class Named(gd.Optimizer):
    """Keeps a momentum under a name that begins as those of numbers do in files, or under 0."""

    KEY = "number.x"

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    @classmethod
    def init_state(cls, params):
        return {cls.KEY: [torch.zeros_like(p) for p in params]}

    @classmethod
    def update(cls, params, grads, state, hyper):
        means = [0.9 * v + g for v, g in zip(state[cls.KEY], grads, strict=True)]
        return [p - hyper["lr"] * v for p, v in zip(params, means, strict=True)], {cls.KEY: means}


@pytest.mark.parametrize("key", ["number.x", "number.", 0, ("a", 1)])
def test_any_name_of_a_state_comes_back(key, monkeypatch):
    monkeypatch.setattr(Named, "KEY", key)
    whole, part, resumed = (run_of(Named, epochs) for epochs in (6, 3, 6))
    whole.fit()
    part.fit()
    resumed.run.restore(part.run.capture())
    resumed.fit()
    ends = [list(run.run.spec.model.parameters()) for run in (whole, resumed)]
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_a_state_of_another_model_names_what_differs():
    problem = run_of(gd.GD, 1).run.spec.problem
    stored = {"model.weight": torch.zeros(1, 4), "model.bias": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"has weight of shape \(1, 4\), and this one weight of"):
        write_state(problem, stored)
