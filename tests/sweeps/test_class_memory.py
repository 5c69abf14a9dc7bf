"""Runs of a sweep give the results that they give alone, whatever their components keep."""

from __future__ import annotations

import pytest
from thinned import thinned

import gdframe as gd
from gdframe.registry import REGISTRIES
from gdframe.sweeps.executing.class_memory import ClassMemory

PLUGIN = """
import torch
import gdframe as gd

SEEN = []

@gd.OPTIMIZERS.register("windowed")
class Windowed(gd.Optimizer):
    def __init__(self, params, lr, *, beta: float = 0.9):
        super().__init__(params, {"lr": lr})
        Windowed.beta = beta
    @staticmethod
    def init_state(params):
        return {"m": [torch.zeros_like(p) for p in params]}
    @staticmethod
    def update(params, grads, state, hyper):
        m = [Windowed.beta * a + g for a, g in zip(state["m"], grads)]
        return [p - hyper["lr"] * a for p, a in zip(params, m)], {"m": m}

@gd.OPTIMIZERS.register("warm")
class Warm(gd.Optimizer):
    calls = 0
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})
    @staticmethod
    def update(params, grads, state, hyper):
        Warm.calls += 1
        factor = min(1.0, Warm.calls / 30) * hyper["lr"]
        return [p - factor * g for p, g in zip(params, grads)], state

@gd.MODELS.register("gained")
class Gained(gd.Linear):
    gain = 1.0
    def __init__(self, features, outputs=1, *, gain: float = 1.0):
        super().__init__(features, outputs)
        Gained.gain = gain
    def forward(self, x):
        return Gained.gain * super().forward(x)

@gd.MODELS.register("remembering")
class Remembering(gd.Linear):
    def forward(self, x):
        if self.training:
            SEEN.append(1)
        return super().forward(x) * (1 + 1 / (1 + len(SEEN)))

@gd.LOADERS.register("subset")
class Subset(gd.Loader):
    def __init__(self, rows, batch_size):
        super().__init__(rows, batch_size)
        self.kept = torch.randperm(rows)[: rows // 2]
    def order(self, epoch, seed):
        return self.kept.repeat(3)[: self.rows]

@gd.LOSSES.register("asymmetric")
class Asymmetric(gd.MSE):
    def __init__(self, *, weight: float = 1.0):
        type(self).weight = weight
    def __call__(self, outputs, targets):
        error = outputs - targets
        return (torch.where(error > 0, self.weight * error, error) ** 2).mean()
    kernel = None

@gd.PENALTIES.register("scaled")
class Scaled(gd.Penalty):
    def __init__(self, *, strength: float = 0.1, scale: float = 1.0):
        super().__init__(strength=strength)
        Scaled.scale = scale
    def value(self, weights):
        return self.strength * Scaled.scale * sum((w**2).sum() for w in weights)

@gd.SCHEDULES.register("halved")
class Halved(gd.Schedule):
    def __init__(self, *, every: float = 1.0):
        Halved.every = every
    def factor(self, epochs, clock):
        return 0.5 ** (epochs / Halved.every)

@gd.INITIALIZERS.register("even")
class Even(gd.Zeros):
    def __init__(self, *, value: float = 0.0):
        Even.value = value
    def draw(self, name, shape, random):
        return torch.full(shape, Even.value, dtype=torch.float64)
"""

CHANGES = [
    ("optimizer=windowed", "optimizer.beta", (0.1, 0.9), "auto"),
    ("optimizer=warm", "lr", (0.01, 0.1), "auto"),
    ("optimizer=warm", "lr", (0.01, 0.1), "eager"),
    ("model=gained", "model.gain", (0.5, 2.0), "auto"),
    ("model=remembering", "seed", (0, 1), "eager"),
    ("loader=subset", "seed", (0, 1), "auto"),
    ("loader=subset", "seed", (2, 1), "eager"),
    ("loss=asymmetric", "loss.weight", (1.0, 3.0), "auto"),
    ("penalty=scaled", "penalty.scale", (0.5, 5.0), "auto"),
    ("initializer=even", "initializer.value", (0.0, 2.0), "auto"),
    ("schedule=halved", "schedule.every", (0.5, 5.0), "auto"),
]


@pytest.fixture(scope="session")  # the plugin is registered once in a process
def words(tmp_path_factory):
    plugin = tmp_path_factory.mktemp("plugins") / "keeping.py"
    plugin.write_text(PLUGIN)
    words = [f"plugins=[{plugin}]", "data=regression", "data.rows=60", "variant=minibatch"]
    before = [dict(registry.user_components()) for registry in REGISTRIES.values()]
    yield [*words, "epochs=2", "logging.tensorboard=false", "preflight=false"]
    for registry, known in zip(REGISTRIES.values(), before, strict=True):
        for name in registry.user_components().keys() - known.keys():
            del registry._entries[name]


@pytest.mark.parametrize(("chosen", "key", "values", "engine"), thinned(CHANGES, 11))
def test_runs_are_as_alone(words, tmp_path, chosen, key, values, engine):
    words = [*words, chosen, f"engine={engine}"]
    varied = f"{key}={','.join(map(str, values))}"
    runs = gd.sweep(*words, varied, folder=tmp_path / "sweep").runs
    for value, run in zip(values, runs, strict=True):
        with_classes_as_now = ClassMemory()
        alone = gd.train(*words, f"{key}={value}", folder=tmp_path / str(value))
        with_classes_as_now.restore()
        assert run["objective"] == pytest.approx(alone.objective, rel=1e-6)
    assert runs[0]["objective"] != pytest.approx(runs[1]["objective"], rel=1e-3)


def test_classes_are_after_a_sweep_as_before(words, tmp_path):
    words = [*words, "optimizer=warm", "engine=eager", "lr=0.01,0.1"]
    gd.sweep(*words, folder=tmp_path / "sweep")
    assert gd.OPTIMIZERS.get("warm").calls == 0
