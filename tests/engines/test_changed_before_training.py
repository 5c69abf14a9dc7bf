"""Changes between building and training are refused, or trained from."""

from __future__ import annotations

import pytest
import torch

import gdframe as gd

from .small import DATA
from .writing import SETTINGS, Decayed, dataset


class Scaled(gd.LinearModel):
    def __init__(self, features, outputs=1):
        super().__init__(features, outputs, bias=True)
        self.scale = 1.0

    def design(self, x):
        return x * self.scale


@pytest.mark.parametrize("engine", ["eager", "linear", "gram"])
@pytest.mark.parametrize("what", ["a global", "the model", "features", "targets", "numpy"])
def test_a_change_between_building_and_fitting_is_refused(what, engine):
    data, model = dataset(), Scaled(3).double()
    SETTINGS["strength"] = 0.0
    built = gd.Trainer(
        model, gd.MSE(), Decayed(model.parameters(), lr=0.02), gd.FullBatch(data.rows), data,
        engine=engine, epochs=3,
    )  # fmt: skip
    {
        "a global": lambda: SETTINGS.update(strength=0.5),
        "the model": lambda: setattr(model, "scale", 0.5),
        "features": lambda: data.train.features.mul_(0.5),
        "targets": lambda: data.train.targets.mul_(0.5),
        "numpy": lambda: data.train.features.numpy().__setitem__((40, 0), 7.0),
    }[what]()
    with pytest.raises(gd.UserError, match="was changed after its trainer was built"):
        built.fit()


def test_parameters_may_be_set_between_building_and_fitting():
    data, model = dataset(), gd.Linear(3).double()
    built = gd.Trainer(
        model, gd.MSE(), gd.GD(model.parameters(), lr=0.02), gd.FullBatch(data.rows), data,
        engine="linear", epochs=3, stopping=gd.Stopping(tolerance=None),
    )  # fmt: skip
    model.weight.data.fill_(3.0)
    errors = data.train.features.sum(dim=1, keepdim=True) * 3.0 - data.train.targets
    assert built.fit().history["objective"][0] == pytest.approx(errors.square().mean().item())


class Cosines(gd.LinearModel):
    """Random Fourier features, whose frequencies are a buffer."""

    def __init__(self, features, outputs=1):
        super().__init__(8, outputs, bias=True)
        self.register_buffer("frequencies", torch.randn(features, 8, dtype=torch.float64))

    def design(self, x):
        return torch.cos(x @ self.frequencies.to(x))


def saved(engine, seed):
    torch.manual_seed(seed)
    data, model = dataset(), Cosines(3).double()
    problem = gd.Problem(
        gd.Objective(model, gd.MSE()), gd.Momentum(model.parameters(), lr=0.02), gd.Constant(), 0
    )
    loader = gd.FullBatch(data.rows)
    built = gd.build_engine(engine, [problem], data, loader, epochs=9)
    built.advance(0, 1)
    return built


@pytest.mark.parametrize("first", ["eager", "linear", "gram"])
@pytest.mark.parametrize("second", ["linear", "gram"])
def test_a_state_of_another_buffer_is_refused_by_its_name(first, second):
    state = saved(first, 0).state(0)
    with pytest.raises(gd.UserError, match="buffer 'frequencies'"):
        saved(second, 1).load_state(0, state)
    again = saved(second, 0)
    again.load_state(0, state)
    eager = saved("eager", 1)
    eager.load_state(0, again.state(0))
    again.advance(1, 2)
    eager.advance(1, 2)
    for name, value in eager.state(0).items():
        torch.testing.assert_close(again.state(0)[name], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "engine", ["linear", "gram", pytest.param("compiled", marks=pytest.mark.slow)]
)
def test_a_run_uses_the_strength_that_its_penalty_has_at_the_start(engine):
    ends = []
    for name in ("eager", engine):
        model, penalty = gd.Linear(3).double(), gd.L2(strength=0.01)
        trainer = gd.Trainer(
            model, gd.MSE(), gd.GD(model.parameters(), lr=0.05), gd.FullBatch(20), DATA,
            penalty=penalty, engine=name, epochs=3,
        )  # fmt: skip
        penalty.strength = 0.5
        ends.append(trainer.fit().objective)
    assert ends[0] == pytest.approx(ends[1], rel=1e-10)


@pytest.mark.parametrize("change", [
    lambda model: model.bias.requires_grad_(False),
    lambda model: model.weight.register_hook(lambda grad: 2 * grad),
])  # fmt: skip
def test_a_change_that_makes_an_engine_unusable_is_refused(change):
    model = gd.Linear(3).double()
    trainer = gd.Trainer(
        model, gd.MSE(), gd.GD(model.parameters(), lr=0.05), gd.MiniBatch(20, 5), DATA,
        engine="linear",
    )  # fmt: skip
    change(model)
    with pytest.raises(gd.UserError, match="the run was changed after its trainer was built"):
        trainer.fit()


@pytest.mark.parametrize("engine", ["eager", "linear"])
def test_an_observer_that_changes_the_run_is_refused(engine):
    class Clamps(gd.Observer):
        def __init__(self, model):
            self.model = model

        def on_epoch(self, run):
            with torch.no_grad():
                self.model.weight.clamp_(-0.1, 0.1)

    model = gd.Linear(3).double()
    trainer = gd.Trainer(
        model, gd.MSE(), gd.GD(model.parameters(), lr=0.05), gd.MiniBatch(20, 5), DATA,
        engine=engine, observers=[Clamps(model)],
    )  # fmt: skip
    with pytest.raises(gd.UserError, match=r"observer Clamps: changes the run's model.weight"):
        trainer.fit()
