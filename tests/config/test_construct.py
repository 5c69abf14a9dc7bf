"""What constructors draw depends on the seed alone: in training, resumed runs and predictions."""

from __future__ import annotations

import itertools
import json
import random

import numpy as np
import pytest
import torch
from thinned import thinned
from torch import nn

import gdframe as gd
from gdframe.config import construct
from gdframe.errors import UserError
from gdframe.runs.log import begin_launch

DRAWS = {
    "torch": lambda n: torch.randperm(n).tolist(),
    "numpy": lambda n: np.random.permutation(n).tolist(),
    "random": lambda n: random.sample(range(n), n),
}
OWN = {
    "list": lambda n: np.random.default_rng().permutation(n).tolist(),
    "array": lambda n: np.random.default_rng().permutation(n),
    "tensor": lambda n: torch.from_numpy(np.random.default_rng().permutation(n)),
    "nested": lambda n: {"order": [np.random.default_rng().permutation(n).tolist()]},
}
PLUGIN = """
import random
import numpy as np
import torch
from thinned import thinned
from torch import nn
import gdframe as gd

def draw(package, n):
    if package == "torch":
        return torch.randperm(n).tolist()
    if package == "numpy":
        return np.random.permutation(n).tolist()
    return random.sample(range(n), n)

@gd.MODELS.register("subspace")
class Subspace(nn.Module):
    def __init__(self, features, outputs=1, *, package: str = "torch"):
        super().__init__()
        self.views = [draw(package, features)[:2] for _ in range(3)]
        self.units = nn.ModuleList(nn.Linear(2, 1) for _ in self.views)
        self.last = nn.Linear(3, outputs)

    def forward(self, x):
        units = zip(self.units, self.views)
        return self.last(torch.cat([torch.tanh(u(x[:, v])) for u, v in units], 1))

@gd.LOADERS.register("once")
class Once(gd.Loader):
    def __init__(self, rows, batch_size=8, *, package: str = "torch"):
        super().__init__(rows, batch_size)
        self.drawn = torch.tensor(draw(package, rows))

    def order(self, epoch, seed):
        return self.drawn

@gd.LOSSES.register("noisy")
class Noisy(gd.Loss):
    def __init__(self, *, package: str = "torch"):
        self.scale = 1.0 + draw(package, 1000)[0]

    def __call__(self, outputs, targets):
        return (outputs - targets).square().mean() / self.scale

    def predict(self, outputs):
        return outputs * self.scale

@gd.SCHEDULES.register("jumpy")
class Jumpy(gd.Schedule):
    def __init__(self, *, package: str = "torch"):
        self.level = 0.1 + draw(package, 1000)[0] / 1000

    def factor(self, epochs, clock):
        return np.full(len(epochs), self.level)

@gd.INITIALIZERS.register("package")
class Package(gd.Initializer):
    def __init__(self, *, package: str = "torch"):
        self.package = package

    def draw(self, name, shape, random):
        return torch.tensor(draw(self.package, shape.numel()), dtype=torch.float64).reshape(shape)
"""
WORDS = {
    "model": ["model=subspace", "model.package={}"],
    "loader": ["loader=once", "loader.package={}"],
    "loss": ["loss=noisy", "loss.package={}"],
    "schedule": ["schedule=jumpy", "schedule.package={}"],
    "initializer": ["initializer=package", "initializer.package={}"],
}


@pytest.fixture(scope="session")  # the plugin is registered once in a process
def inputs(tmp_path_factory):
    """A plugin whose constructors draw, and a table."""
    folder = tmp_path_factory.mktemp("drawing")
    (folder / "drawing.py").write_text(PLUGIN)
    rows = np.random.default_rng(0).normal(size=(60, 5))
    lines = ["a,b,c,d,y", *(",".join(map(str, row)) for row in rows)]
    (folder / "t.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture
def run(inputs, tmp_path):
    """Train in numbered folders."""
    numbers = itertools.count()

    def train(kind, package, *words):
        named = [word.format(package) for word in WORDS[kind]]
        table = ["data=table", f"data.path={inputs / 't.csv'}", "data.target=y"]
        plugin, folder = f"plugins=[{inputs / 'drawing.py'}]", tmp_path / str(next(numbers))
        return gd.train(plugin, *table, *named, "lr=0.01", *words, folder=folder)

    return train


@pytest.mark.parametrize(("package", "kind"), thinned(itertools.product(DRAWS, WORDS), 7))
def test_what_a_constructor_draws_follows_from_the_seed(run, kind, package):
    first, again, other = (run(kind, package, "epochs=3", f"seed={s}") for s in (1, 1, 2))
    assert first.objective == again.objective
    assert first.objective != other.objective


@pytest.mark.parametrize(("seed", "kind"), thinned(itertools.product([3, 0], WORDS), 7))
def test_a_resumed_run_and_predictions_have_what_was_drawn(
    run, gdframe, inputs, tmp_path, kind, seed
):
    package, common = list(DRAWS)[seed % 3], [f"seed={seed}", "data.validation=0"]
    run(kind, package, "epochs=2", *common)
    folder, plugin = str(tmp_path / "0"), str(inputs / "drawing.py")
    assert gdframe("resume", folder, "epochs=4", f"plugins=[{plugin}]").code == 0
    whole = run(kind, package, "epochs=4", *common)
    resumed = json.loads((tmp_path / "0" / "result.json").read_text())
    assert resumed["objective"] == whole.objective
    done = gdframe("predict", folder, str(inputs / "t.csv"), "--plugins", plugin)
    assert f"rmse {whole.metrics['train']['rmse']:.4g}" in done.err


class Holder(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.held, self.inner = 1, nn.Linear(2, 1)
        self.value = value


@pytest.mark.parametrize("draw", OWN)
def test_what_an_own_generator_draws_is_named(caplog, draw):
    begin_launch()
    model = Holder(OWN[draw](9))
    construct.warn_of_own_draws("model mine", model, lambda: Holder(OWN[draw](9)))
    assert "model mine: value has another value" in caplog.text


class Draws(nn.Module):
    """Holds what differs between two objects, and is no draw."""

    def __init__(self):
        super().__init__()
        self.random = np.random.default_rng(0)
        self.generator = torch.Generator().manual_seed(0)
        self.function = lambda x: x
        self.cache = {}
        self.layers = nn.ModuleList([nn.Linear(2, 2), nn.Dropout()])
        self.lazy = nn.ModuleList([nn.LazyLinear(3), nn.LazyConv1d(2, 3), nn.LazyBatchNorm1d()])
        self.normal = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
        linear = self.layers[0]
        self.hook = linear.register_forward_hook(lambda *_: None)
        linear.register_forward_pre_hook(lambda *_: None, with_kwargs=True)
        linear.register_forward_hook(lambda *_: None, with_kwargs=True, always_call=True)
        linear.register_full_backward_hook(lambda *_: None)
        linear.register_load_state_dict_post_hook(lambda *_: None)
        self.nothing = object()


def test_what_differs_without_a_draw_is_not_named(caplog):
    begin_launch()

    def build():
        with gd.seeded(0, gd.Purpose.INITIALIZE):
            return Draws()

    construct.warn_of_own_draws("model mine", build(), build)
    assert not caplog.records


def test_a_constructor_that_counts_in_its_class_counts_once():
    begin_launch()

    class Counts:
        built = 0

        def __init__(self):
            Counts.built += 1

    construct.warn_of_own_draws("loss mine", Counts(), Counts)
    assert Counts.built == 1


class Late(nn.Module):
    def forward(self, x):
        if not hasattr(self, "layer"):
            self.layer = nn.Linear(x.shape[1], 1)
        return self.layer(x) * self.scale

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))


class Forces(nn.Module):
    """The slope of an energy, as in physics."""

    def __init__(self):
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))

    def forward(self, x):
        x = x.detach().requires_grad_()
        return torch.autograd.grad(self.energy(x).sum(), x, create_graph=True)[0][:, :1]


@pytest.mark.parametrize(("model", "told"), [(Late, "layer.weight"), (Forces, "enable_grad")])
def test_models_that_cannot_train_are_told_why(model, told):
    net = model()
    data = gd.Dataset.from_arrays(np.eye(4)[:, :2], np.arange(4.0))
    with pytest.raises(UserError, match=told):
        gd.Trainer(net, gd.MSE(), gd.GD(net.parameters(), lr=0.1), gd.FullBatch(4), data)


def test_a_constructor_that_changes_its_list_gets_the_same_list_again(inputs, tmp_path, caplog):
    (tmp_path / "grows.py").write_text(
        "import torch, gdframe as gd\n"
        "@gd.MODELS.register('grows')\n"
        "class Grows(torch.nn.Sequential):\n"
        "    def __init__(self, features, outputs, *, sizes: list[int] = [4]):\n"
        "        sizes.insert(0, features); sizes.append(outputs)\n"
        "        super().__init__(*(torch.nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])))\n"
    )
    words = [f"plugins=[{tmp_path / 'grows.py'}]", "model=grows", "model.sizes=[3]", "lr=0.01"]
    table = ["data=table", f"data.path={inputs / 't.csv'}", "data.target=y"]
    result = gd.train(*words, *table, "epochs=1", folder=tmp_path / "run")
    assert result.parameter_count == 4 * 3 + 3 + 3 + 1
    assert "another value" not in caplog.text
    text = (tmp_path / "run" / ".hydra" / "config.yaml").read_text()
    assert "sizes:\n  - 3\n" in text
