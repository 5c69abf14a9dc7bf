"""What components keep in unusual places comes back with a resumed run, or is warned of."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils import parametrizations, prune

import gdframe as gd
from gdframe.cli.main import main
from gdframe.config.constructed import values_of
from gdframe.config.value_digests import digests_by_place

WORDS = (
    "data=diabetes", "dtype=float64", "lr=0.02", "stopping.tolerance=null", "logging.progress=false"
)  # fmt: skip


class Warming(gd.Momentum):
    """Raises a setting of its parameter groups."""

    def step(self, closure=None):
        for group in self.param_groups:
            group["momentum"] = min(0.95, group["momentum"] + 0.002)
        return super().step(closure)


class Annealing(gd.Optimizer):
    """Lowers a setting of its own, and keeps a name beside the settings."""

    def __init__(self, params, lr, *, decay: float = 0.3):
        super().__init__(params, {"lr": lr, "decay": decay})

    def step(self, closure=None):
        for group in self.param_groups:
            group["decay"] *= 0.99
        return super().step(closure)

    @staticmethod
    def update(params, grads, state, hyper):
        return [
            p - hyper["lr"] * (g + hyper["decay"] * p) for p, g in zip(params, grads, strict=True)
        ], state


class Counted(gd.GD):
    """Counts its steps in ``state`` under a text."""

    @torch.no_grad()
    def step(self, closure=None):
        self.state["n"] = self.state.get("n", 0) + 1
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad.mul_(self.state["n"] ** -0.5)
        return super().step(closure)


def hooked(params, lr):
    optimizer = gd.Momentum(params, lr, beta=0.5)

    def warm(optimizer, *_):
        for group in optimizer.param_groups:
            group["momentum"] = min(0.95, group["momentum"] + 0.002)

    optimizer.register_step_pre_hook(warm)
    return optimizer


RULES = {"warming": Warming, "annealing": Annealing, "counted": Counted, "hooked": hooked}


@pytest.fixture(autouse=True, scope="module")
def registered():
    for name, rule in RULES.items():
        gd.OPTIMIZERS.register(f"resumed_{name}")(rule)
    gd.MODELS.register("resumed_centred")(Centred)


@pytest.mark.parametrize("name", RULES)
def test_a_resumed_optimizer_goes_on_with_its_groups_and_its_state(tmp_path, name):
    words = (*WORDS, f"optimizer=resumed_{name}")
    gd.train(*words, "epochs=12", folder=tmp_path / "whole")
    gd.train(*words, "epochs=4", folder=tmp_path / "part")
    assert main(["resume", str(tmp_path / "part"), "epochs=12"]) == 0
    whole, part = (load_file(tmp_path / f / "model.safetensors") for f in ("whole", "part"))
    assert all(torch.equal(whole[key], part[key]) for key in whole)


def test_a_return_to_better_parameters_brings_the_groups_back():
    """The objective of the best epoch is reached again from its parameters and settings."""
    x = np.random.default_rng(0).normal(size=(60, 3))
    data = gd.Dataset.from_arrays(x, x.sum(1) + 1, validation=0.3)
    model = gd.Linear(3)
    optimizer = Annealing(model.parameters(), 0.05)
    gd.Trainer(
        model, gd.MSE(), optimizer, gd.FullBatch(data.rows), data, epochs=40,
        stopping=[gd.Early(patience=3, min_delta=10.0)],
    ).fit()  # fmt: skip
    steps = round(np.log(optimizer.param_groups[0]["decay"] / 0.3) / np.log(0.99))
    assert steps == 0  # no epoch is better by so much, so the start is the best


class Centred(nn.Module):
    """Returns a part of what it keeps as extra state."""

    def __init__(self, features: int, outputs: int = 1, *, returns: str = "steps"):
        super().__init__()
        self.layer, self.steps, self.level = nn.Linear(features, outputs), 0, 0.0
        self.returns = returns.split("+")

    def get_extra_state(self):
        return {name: getattr(self, name) for name in self.returns}

    def set_extra_state(self, state):
        vars(self).update(state)

    def forward(self, x):
        if self.training:
            self.steps += 1
            self.level = 0.9 * self.level + float(x.abs().mean())
        return self.layer(x) + self.level


@pytest.mark.parametrize("returns", ["steps", "steps+level"])
def test_an_attribute_that_extra_state_leaves_out_is_named(tmp_path, caplog, returns):
    gd.train(
        *WORDS, "model=resumed_centred", f"model.returns={returns}", "epochs=2",
        folder=tmp_path / "run",
    )  # fmt: skip
    assert ("do not hold model.level" in caplog.text) == (returns == "steps")
    assert "model.steps" not in caplog.text


UTILITIES = {
    "weight_norm": nn.utils.weight_norm,
    "spectral_norm": nn.utils.spectral_norm,
    "prune": lambda layer: prune.l1_unstructured(layer, "weight", amount=0.5),
    "orthogonal": parametrizations.orthogonal,
}


@pytest.mark.parametrize("name", UTILITIES)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_utilities_of_pytorch_compute_anew_is_no_lost_state(tmp_path, caplog, name):
    x = np.random.default_rng(0).normal(size=(40, 3))
    data = gd.Dataset.from_arrays(x, x.sum(1), dtype=torch.float64)
    model = UTILITIES[name](nn.Linear(3, 1)).double()
    result = gd.Trainer(
        model, gd.MSE(), gd.GD(model.parameters(), lr=0.01), gd.MiniBatch(40, 10), data, epochs=2,
        engine="eager", observers=[gd.Checkpoint(tmp_path)],
    ).fit()  # fmt: skip
    assert result.status == "max_epochs"
    assert "do not hold" not in caplog.text


def test_a_transposed_parameter_is_saved(tmp_path):
    class Transposed(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(1, 3).repeat(2, 1).T)
            self.register_buffer("shift", torch.randn(4, 3).T)

        def forward(self, x):
            return (x @ self.weight).sum(1, keepdim=True) + self.shift.mean()

    x = np.random.default_rng(0).normal(size=(40, 3))
    data, model = gd.Dataset.from_arrays(x, x.sum(1)), Transposed()
    result = gd.Trainer(
        model, gd.MSE(), gd.GD(model.parameters(), lr=0.01), gd.FullBatch(40), data, epochs=2,
        engine="eager", observers=[gd.Checkpoint(tmp_path)],
    ).fit()  # fmt: skip
    assert result.status == "max_epochs"
    assert not model.weight.is_contiguous()
    assert list(tmp_path.rglob("*.safetensors"))


PLUGIN = """
import os
import torch
import gdframe as gd
from torch import nn


@gd.MODELS.register("hashed")
class Hashed(nn.Module):
    def __init__(self, features: int, outputs: int = 1):
        super().__init__()
        self.buckets = [hash(f"column{i}") % 1000 for i in range(features)]
        self.layer = nn.Linear(1, outputs)

    def forward(self, x):
        return self.layer((x * torch.tensor(self.buckets) / 1000).sum(1, keepdim=True))


@gd.LOADERS.register("hashed_order")
class HashedOrder(gd.MiniBatch):
    def order(self, epoch, seed):
        generator = torch.Generator().manual_seed(hash(("rows", seed, epoch)) % 2**31)
        return torch.randperm(self.rows, generator=generator)
"""


@pytest.mark.parametrize("choice", ["model=hashed", "loader=hashed_order"])
def test_another_hash_seed_is_told(gdframe, tmp_path, choice):
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "t.csv").write_text(
        "a,b,y\n" + "".join(f"{i},{i % 7},{i % 5}\n" for i in range(60))
    )
    words = (
        "plugins=[plugin.py]", "data=table", "data.path=t.csv", "data.target=y", "epochs=1",
        "lr=0.01", "data.task=regression", "hydra.run.dir=run", choice,
    )  # fmt: skip
    assert gdframe(*words, PYTHONHASHSEED="1").code == 0
    verbs = [("resume", "run", "epochs=2", "plugins=[plugin.py]")]
    if "model" in choice:
        verbs.insert(0, ("predict", "run", "t.csv", "--plugins", "plugin.py"))
    place = "model.buckets" if "model" in choice else "loader.order"
    for seed, is_told in (("1", False), ("2", True)):
        for verb in verbs[: 1 if seed == "1" else None]:
            done = gdframe(*verb, PYTHONHASHSEED=seed)
            assert done.code == 0
            assert (f"{place} has another value" in done.out + done.err) == is_told


def test_digests_see_values_but_not_their_last_bits():
    class Holder:
        def __init__(self, scale):
            self.numbers, self.text = np.linspace(0, 1, 5) * scale, "a"
            self.nested = {"x": [1, 2.5 * scale, (None, torch.ones(2) * scale)]}
            self.function = (lambda value: lambda x: x * value)(scale)
            self.generator = np.random.default_rng(int(scale))

    first = digests_by_place({"loss": Holder(1.0)})
    assert {name for name in first if "." in name.partition(" ")[0]} == {
        "loss.numbers", "loss.text", "loss.nested", "loss.function", "loss.generator"
    }  # fmt: skip
    assert digests_by_place({"loss": Holder(1.0)}) == first
    near = digests_by_place({"loss": Holder(1.0 + 1e-12)})
    assert near == first
    far = digests_by_place({"loss": Holder(2.0)})
    differing = {name for name in first if first[name] != far[name]}
    assert differing == {"loss.numbers", "loss.nested", "loss.function", "loss.generator"}


def test_digests_take_what_cannot_be_read_as_nothing():
    def empty_cell():
        def function():
            return later

        if function is None:
            later = 1
        return function

    class Odd(gd.Loader):
        def __init__(self):
            self.rows, self.function = 4, empty_cell()

        def order(self, epoch, seed):
            raise RuntimeError("later")

    digests = digests_by_place({"loader": Odd()})
    assert {name for name in digests if " Odd." not in name} == {"loader.rows"}


def test_optimizers_that_draw_settings_are_named(caplog):
    class Random(gd.GD):
        def __init__(self, params, lr):
            super().__init__(params, lr)
            self.param_groups[0]["lr"] = lr
            self.scale = float(np.frombuffer(os.urandom(8), np.uint64)[0] % 1000)

    gd.OPTIMIZERS.register("resumed_random")(Random)
    gd.train("optimizer=resumed_random", "epochs=1", "lr=0.01")
    assert "optimizer resumed_random: scale has another value each time" in caplog.text
    assert [name for name, _ in values_of(gd.GD([nn.Parameter(torch.ones(1))], 0.1))] != []


@pytest.mark.parametrize("where", ["class", "global"])
def test_a_loss_that_learns_outside_of_itself_is_named_and_scored_as_it_predicts(
    gdframe, tmp_path, where
):
    scale = "Scaled.scale" if where == "class" else "SCALE['scale']"
    (tmp_path / "plugin.py").write_text(f"""
import gdframe as gd

SCALE = {{"scale": 1.0}}


@gd.LOSSES.register("scaled")
class Scaled(gd.Loss):
    scale = 1.0

    def encode(self, targets, dtype):
        if {scale} == 1.0:
            {scale} = float(targets.std())
        return targets.to(dtype) / {scale}

    def __call__(self, outputs, targets):
        return (outputs - targets).square().mean()

    def predict(self, outputs):
        return outputs * {scale}
""")
    lines = [f"{i},{i % 7},{30 * i + 5 * (i % 7)}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,y", *lines]))
    done = gdframe(
        "plugins=[plugin.py]", "data=table", "data.path=t.csv", "data.target=y", "epochs=60",
        "lr=0.1", "hydra.run.dir=run", "loss=scaled", "logging.progress=false",
    )  # fmt: skip
    assert done.code == 0
    assert "encode of loss Scaled changes" in done.out + done.err
    done = gdframe("predict", "run", "t.csv", "--plugins", "plugin.py", "--output", "p.csv")
    predicted = np.genfromtxt(tmp_path / "p.csv", skip_header=1)
    actual = np.genfromtxt(tmp_path / "t.csv", delimiter=",", skip_header=1)[:, -1]
    rmse = np.sqrt(np.mean((predicted - actual) ** 2))
    assert f"rmse {rmse:.4g}" in done.out + done.err


def test_gram_measures_the_metrics_that_a_user_names_at_each_epoch(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("gdframe.engines.gram.CHEAP", 10)
    words = ("variant=batch", "epochs=3", "lr=0.1", "logging.progress=false")
    common, named = (*words, "engine=gram"), "metric=[r2,mae]"
    rows = gd.train(*common, named, folder=tmp_path / "named").history
    exact = gd.train(*words, "engine=eager", named, folder=tmp_path / "eager").history
    assert rows["validation/mae"] == pytest.approx(exact["validation/mae"])
    some = gd.train(*common, folder=tmp_path / "default").history["validation/mae"]
    assert np.isnan(some).tolist() == [False, True, True, False]
    assert main([*common, f"hydra.run.dir={tmp_path / 'told'}"]) == 0
    assert "mae is measured at the start and at the end alone" in capsys.readouterr().out
    stored = json.loads((tmp_path / "told" / "result.json").read_text())
    assert stored["metrics"]["validation"]["mae"] == pytest.approx(some[-1])


def test_a_second_launch_of_a_process_is_warned_too(caplog, tmp_path):
    words = (*WORDS, "model=resumed_centred", "epochs=1")
    for name in ("a", "b"):
        gd.train(*words, folder=tmp_path / name)
    assert caplog.text.count("do not hold model.level") == 2
