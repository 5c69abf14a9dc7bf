"""Parts of a run that cannot be used: one message that names the component, and what to do."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

import gdframe as gd

DATA = gd.Regression(rows=21, features=3, validation=0.0).load()


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x):
        return self.layer(x), x


class Missing(Pair):
    def forward(self, x):
        return {"a": self.layer(x)}["b"]


class InPlace(Pair):
    def forward(self, x):
        x -= x.mean()
        return self.layer(x)


class Hooked(Pair):
    def forward(self, x):
        outputs = self.layer(x)
        outputs.register_hook(lambda gradient: gradient.clamp(-1, 1))
        return outputs


class WholeError(gd.MSE):
    def __call__(self, outputs, targets):
        return (outputs - targets) ** 2


class InPlaceError(gd.MSE):
    def __call__(self, outputs, targets):
        targets -= 1.0
        return super().__call__(outputs, targets)


def batch_norm():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


def trainer(model=None, loss=None, optimizer=None, loader=None, data=DATA, **more):
    model = model or gd.Linear(3)
    optimizer = optimizer or gd.GD(model.parameters(), lr=0.01)
    loader = loader or gd.MiniBatch(21, 5)
    return gd.Trainer(model, loss or gd.MSE(), optimizer, loader, data, **more)


@pytest.mark.parametrize(("make", "words"), [
    (lambda: trainer(Pair()), "model Pair: forward returned a tuple; expected one tensor"),
    (lambda: trainer(Missing()), r"model Missing on features .* fails \(KeyError: 'b'\)"),
    (lambda: trainer(InPlace()), "model InPlace: forward changes its features in place"),
    (lambda: trainer(Hooked()), "model Hooked on .* fails .* it works with gradients, but eval"),
    (lambda: trainer(loss=WholeError()), r"loss WholeError: returned shape \(2, 1\); expected one"),
    (lambda: trainer(loss=InPlaceError()), "loss InPlaceError: changes its targets in place"),
    (lambda: trainer(batch_norm()), "model Sequential in a batch of one row, in training: fails "
     ".*choose a batch_size that leaves no batch of one row"),
    (lambda: trainer(loss=nn.MSELoss()), "loss was given as torch.nn.modules.loss.MSELoss: "
     r"expected a gdframe.Loss, such as gdframe.MSE\(\)"),
    (lambda: trainer(schedule=torch.optim.lr_scheduler.StepLR(
        torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1), 1)), "schedule was given as torch"),
    (lambda: trainer(seed=None), "seed was given as NoneType: expected a whole number"),
    (lambda: trainer(epochs=2.5), "epochs was given as float: expected a whole number"),
    (lambda: trainer(observers=[print]), "observer was given as "),
    (lambda: trainer(data=(1, 2)), "data was given as tuple"),
    (lambda: trainer(nn.LazyLinear(1), optimizer=torch.optim.SGD([nn.Parameter(torch.ones(1))],
                                                                 lr=1)),
     "model LazyLinear has lazy layers without shapes: call it on a few rows"),
    (lambda: gd.Dataset.from_arrays([[1.0]], [1.0], dtype=torch.bfloat16),
     "dtype=torch.bfloat16: expected torch.float32 or torch.float64"),
    (lambda: gd.Dataset.from_arrays([[1.0]], [1.0], device="meta") and trainer(
        data=gd.Dataset.from_arrays(torch.ones(21, 3), torch.ones(21), device="meta")),
     "data on device meta: expected cpu or cuda"),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_the_message_names_the_component(make, words):
    with pytest.raises(gd.UserError, match=words):
        make()


def test_data_in_bfloat16_is_read():
    data = gd.Dataset.from_arrays(torch.ones(4, 2, dtype=torch.bfloat16), torch.arange(4.0))
    assert data.train.features.dtype == torch.float32


def test_batch_norm_trains_where_no_batch_has_one_row():
    assert trainer(batch_norm(), loader=gd.MiniBatch(21, 7), epochs=2).fit().epochs == 2


def test_a_cell_that_is_run_again_replaces_its_component():
    cell = """
@gd.OPTIMIZERS.register("cell")
class Cell(gd.GD):
    version = {}
"""
    code = f"""
import gdframe as gd
cell = {cell!r}
exec(cell.format(1)); exec(cell.format(2))
assert gd.OPTIMIZERS.get("cell").version == 2
result = gd.train("optimizer=cell", "epochs=1")
assert result.optimizer == "cell", result.optimizer
class Elsewhere:
    pass
Elsewhere.__module__ = "another_module"
try:
    gd.OPTIMIZERS.register("cell")(Elsewhere)
except gd.UserError as error:
    assert "is taken by" in str(error)
else:
    raise AssertionError("it took the place of another module's")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


LAZY = """
import torch
from torch import nn
import gdframe as gd

@gd.MODELS.register("lazy")
class Lazy(nn.Module):
    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.LazyLinear(4), nn.LazyLinear(outputs)

    def forward(self, x):
        return self.outer(torch.tanh(self.inner(x)))
"""


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_lazy_models_are_a_function_of_the_seed_and_predict(tmp_path, gdframe):
    plugin = tmp_path / "lazy.py"
    plugin.write_text(LAZY)
    rows = tmp_path / "rows.csv"
    rows.write_text("a,b,y\n" + "\n".join(f"{i},{i % 3},{i + 0.5}" for i in range(20)))
    ends = []
    for run in ("one", "two"):
        done = gdframe(
            f"plugins=[{plugin}]", "data=table", f"data.path={rows}", "data.target=y",
            "model=lazy", "variant=batch", "epochs=3", f"hydra.run.dir={tmp_path / run}",
        )  # fmt: skip
        assert done.code == 0, done.err
        done = gdframe(
            "predict", str(tmp_path / run), str(rows), "--output", str(tmp_path / f"{run}.csv")
        )
        assert done.code == 0, done.err
        ends.append((tmp_path / f"{run}.csv").read_text().split())
    assert ends[0] == ends[1]
    assert len(set(ends[0])) > 5


class Doubling(gd.Early):
    """A rule that is given as a class."""


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: trainer(loss=gd.MSE), ["loss", "the class MSE", "MSE(...)"]),
        (lambda: trainer(penalty=gd.L2), ["penalty", "the class L2", "L2(...)"]),
        (lambda: trainer(observers=gd.Observer()), ["observers", "expected a list"]),
        (lambda: trainer(observers=[gd.CSVHistory]), ["the class CSVHistory", "CSVHistory(...)"]),
        (lambda: trainer(stopping=gd.Early()), ["stopping", "expected a list"]),
        (lambda: trainer(stopping=[Doubling]), ["Doubling", "gdframe.StoppingRule"]),
        (lambda: trainer(metrics="r2"), ["metrics", "'r2'", "expected a list"]),
        (lambda: trainer(metrics=gd.R2()), ["metrics", "expected a list"]),
        (lambda: gd.train(["lr=0.1"]), ["list", "texts"]),
        (lambda: gd.train({"lr": 0.1}), ["dict", "texts"]),
        (lambda: gd.sweep(["lr=0.1,1"]), ["list", "texts"]),
        (lambda: gd.lr_range(["lr=0.1"]), ["list", "texts"]),
        (lambda: gd.train("lr=0.1,0.2"), ["lr=0.1,0.2", "gdframe.sweep"]),
        (lambda: gd.Stopping(time_limit=-1), ["time_limit=-1"]),
        (lambda: gd.Stopping(gradient_tolerance=-1), ["gradient_tolerance=-1"]),
        (lambda: gd.METRICS.build("r3"), ["metric=r3", "'r2'"]),
    ],
)
def test_what_python_was_given_is_told(make, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(gd.UserError) as caught:
        make()
    assert [word for word in words if word not in str(caught.value)] == [], caught.value
    assert not list(tmp_path.iterdir())


class Sharpness(torch.optim.SGD):
    def step(self, closure=None):
        if closure is None:  # not an assert, by which pytest would be a part of the optimizer
            raise AssertionError("SAM requires a closure")


class CallsTheClosure(torch.optim.SGD):
    def step(self, closure=None):
        return closure()


@pytest.mark.parametrize("optimizer", [torch.optim.LBFGS, Sharpness, CallsTheClosure])
def test_an_optimizer_that_needs_a_closure_is_refused_by_name(optimizer):
    model = gd.Linear(3)
    rule = optimizer(model.parameters(), lr=0.1)
    data = gd.Regression(rows=6, features=3).load()
    with pytest.raises(gd.UserError, match=f"optimizer {optimizer.__name__}: its step needs a clo"):
        gd.Trainer(model, gd.MSE(), rule, gd.FullBatch(data.rows), data)


def test_the_trial_of_a_step_changes_nothing():
    class Decays(torch.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1, "k": 0})
            self.calls = 0

        @torch.no_grad()
        def step(self, closure=None):
            self.calls += 1
            for group in self.param_groups:
                group["k"] += 1
                for p in group["params"]:
                    self.state[p]["seen"] = p.grad.clone()
                    p.mul_(0.5)

    model = gd.Linear(3)
    torch.nn.init.ones_(model.weight)
    rule = Decays(model.parameters())
    data = gd.Regression(rows=6, features=3).load()
    gd.Trainer(model, gd.MSE(), rule, gd.FullBatch(data.rows), data)
    assert (rule.calls, rule.param_groups[0]["k"], len(rule.state)) == (0, 0, 0)
    assert model.weight.grad is None
    assert torch.equal(model.weight, torch.ones(1, 3))
