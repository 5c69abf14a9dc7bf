"""Parts of the compiled engine only: several steps in a pass, narrow layers, oneDNN."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from command import wait_for
from thinned import thinned
from torch import nn

import gdframe as gd
from gdframe.engines import compiled_loop, compiled_step, inductor, loop_package, onednn_pass
from gdframe.engines.narrow import Narrow, narrowed


@pytest.mark.parametrize("shape", [(5, 1), (1, 4), (1, 1)])
@pytest.mark.parametrize("bias", [False, True])
def test_a_narrow_layer_equals_a_linear_layer(shape, bias):
    layer = nn.Linear(*shape, bias=bias, dtype=torch.float64)
    (narrow,) = narrowed(nn.Sequential(layer))
    assert isinstance(narrow, Narrow)
    x = torch.randn(7, shape[0], dtype=torch.float64, requires_grad=True)
    results = []
    for module in (layer, narrow):
        outputs = module(x)
        assert outputs.shape == (7, shape[1])
        grads = torch.autograd.grad((outputs**2).sum(), [x, *module.parameters()])
        results.append((outputs, *grads))
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected)


def test_only_plain_layers_become_narrow_and_the_model_is_unchanged():
    class Own(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    wide = nn.Sequential(nn.Linear(3, 2), Own(2, 1))
    assert narrowed(wide) is wide
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    copied = narrowed(model)
    assert type(model[1]) is nn.Linear
    assert [type(layer) for layer in copied] == [nn.Linear, Narrow]
    assert copied.state_dict().keys() == model.state_dict().keys()


class Uncopyable(nn.Linear):
    def __deepcopy__(self, memo):
        raise TypeError("no copy")


def test_a_model_that_cannot_be_copied_is_used_unchanged():
    model = nn.Sequential(Uncopyable(3, 2), nn.Linear(2, 1))
    with pytest.raises(TypeError):
        copy.deepcopy(model)
    assert narrowed(model) is model


@pytest.mark.slow
@pytest.mark.parametrize("runs", [1, 3])
def test_steps_are_the_same_however_an_epoch_is_cut(runs):
    data = gd.Regression(rows=101, features=3, noise=0.5, validation=0.0).load()
    loader = gd.MiniBatch(data.rows, batch_size=4)  # 25 full batches and a batch of one row

    def engine() -> gd.Compiled:
        problems = []
        for index in range(runs):
            model = gd.MLP(3, 1, hidden=[4])
            gd.initialize(model, gd.Kaiming(), seed=index)
            rule = gd.Adam(model.parameters(), lr=0.01 * (1 + index))
            problems.append(gd.Problem(gd.Objective(model, gd.MSE()), rule, gd.Cosine(), index))
        return gd.Compiled(problems, data, loader, epochs=3)

    whole, cut = engine(), engine()
    assert whole._unrolled > 1
    steps = loader.steps_per_epoch
    traces = [whole.advance(epoch * steps, (epoch + 1) * steps) for epoch in range(2)]
    pieces, done = [], 0
    for length in [1, 2, 5, 3, 1, 1, 9, 3, 1, 7, 4, 15]:
        pieces.append(cut.advance(done, done + length))
        done += length
    assert done == 2 * steps
    for name in ("loss", "gradient_norm"):
        expected = np.concatenate([getattr(trace, name) for trace in traces], axis=1)
        actual = np.concatenate([getattr(trace, name) for trace in pieces], axis=1)
        np.testing.assert_array_equal(actual, expected)
    for run in range(runs):
        for name, value in whole.state(run).items():
            assert torch.equal(value, cut.state(run)[name]), name


@pytest.mark.slow
@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch has no oneDNN")
def test_large_products_by_onednn_equal_the_eager_loop(monkeypatch):
    monkeypatch.setattr(inductor, "is_faster", lambda: True)
    monkeypatch.setattr(loop_package, "cache_folder", lambda name: None)
    called = []
    replaced = onednn_pass.OneDNN.__call__

    def counting(self, graph):
        before = sum(node.target is torch.ops.gdframe.product.default for node in graph.nodes)
        replaced(self, graph)
        after = sum(node.target is torch.ops.gdframe.product.default for node in graph.nodes)
        called.append(after - before)

    monkeypatch.setattr(onednn_pass.OneDNN, "__call__", counting)
    data = gd.Classification(rows=300, features=200, classes=3, validation=0.0).load()
    loader = gd.MiniBatch(data.rows, batch_size=100)
    ends = []
    for name in ("eager", "compiled"):
        model = gd.MLP(200, 3, hidden=[120])
        gd.initialize(model, gd.Kaiming(), seed=0)
        rule = gd.Momentum(model.parameters(), lr=0.05)
        run = gd.Problem(gd.Objective(model, gd.CrossEntropy(), gd.L2()), rule, gd.Constant(), 0)
        engine = gd.ENGINES.build(name, runs=[run], data=data, loader=loader, epochs=4)
        traces = [engine.advance(3 * epoch, 3 * epoch + 3) for epoch in range(4)]
        ends.append((np.concatenate([t.gradient_norm for t in traces], axis=1), engine.state(0)))
    assert sum(called) == 2  # forwards and backwards through the first layer
    (norms, state), (compiled_norms, compiled_state) = ends
    np.testing.assert_allclose(compiled_norms, norms, rtol=1e-4)
    for key, value in state.items():
        torch.testing.assert_close(
            compiled_state[key], value, rtol=1e-4, atol=1e-4 * value.abs().max().item()
        )


class Tempered(torch.nn.Module):
    """Has a parameter without dimensions."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)
        self.temperature = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        return self.layer(x) * self.temperature


@pytest.mark.parametrize("rule", thinned([gd.Adam, gd.GD], 2))
def test_a_parameter_without_dimensions_keeps_its_type(rule):
    data = gd.Dataset.from_arrays(torch.eye(3).repeat(4, 1), torch.arange(12.0))
    ends = []
    for engine in ("eager", "compiled"):
        torch.manual_seed(0)
        model = Tempered()
        loader, optimizer = gd.MiniBatch(12, 4), rule(model.parameters(), lr=0.01)
        gd.Trainer(model, gd.MSE(), optimizer, loader, data, epochs=2, engine=engine).fit()
        ends.append(model.temperature)
    torch.testing.assert_close(*ends)


def test_a_long_compilation_is_told(monkeypatch, caplog):
    monkeypatch.setattr(inductor, "PATIENCE", 0.01)
    caplog.set_level("INFO", logger="gdframe")
    with inductor.compiling():
        wait_for(lambda: caplog.records, seconds=10)
    assert "compiles the training loop" in caplog.text
    caplog.clear()
    monkeypatch.setattr(inductor, "PATIENCE", 60.0)
    with inductor.compiling():
        pass
    assert not caplog.records


class ReadsData(nn.Module):
    """Reads its weight around autograd, which PyTorch vectorises with gradients alone."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x):
        weight = self.layer.weight
        return nn.functional.linear(x, weight / (1 + weight.data.norm()), self.layer.bias)


@pytest.mark.slow
def test_a_model_whose_validation_rows_cannot_be_evaluated_together_is_refused():
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    data = gd.Dataset.from_arrays(x, x.sum(1), validation=0.25)
    problems = []
    for seed in range(2):
        model = ReadsData()
        optimizer = gd.GD(model.parameters(), lr=0.01 * (seed + 1))
        problems.append(gd.Problem(gd.Objective(model, gd.MSE()), optimizer, gd.Constant(), seed))
    with pytest.raises(gd.UserError, match="engine=compiled cannot execute this"):
        gd.build_engine("compiled", problems, data, gd.MiniBatch(30, 10), epochs=2)


@pytest.mark.slow
@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("loader", [gd.FullBatch, lambda rows: gd.MiniBatch(rows, 4)])
def test_loops_that_are_compiled_in_the_process_equal_the_plain_loop(monkeypatch, runs, loader):
    """As on a GPU, where a loop is no file."""
    for module in (compiled_loop, compiled_step):
        monkeypatch.setattr(module, "PACKAGED", ())
    data = gd.Regression(rows=42, features=3, noise=0.5, validation=0.0).load(dtype=torch.float64)
    ends = []
    for name in ("eager", "compiled"):
        problems = []
        for index in range(runs):
            model = gd.MLP(3, 1, hidden=[4]).double()
            gd.initialize(model, gd.Kaiming(), seed=index)
            rule = gd.Adam(model.parameters(), lr=0.01 * (1 + index))
            objective = gd.Objective(model, gd.MSE(), gd.L2(strength=0.01 * (1 + index)))
            problems.append(gd.Problem(objective, rule, gd.Cosine(), index))
        engine = gd.build_engine(name, problems, data, loader(data.rows), epochs=3)
        for epoch in range(3):
            steps = engine.clock.steps_per_epoch
            engine.advance(epoch * steps, (epoch + 1) * steps)
        ends.append([engine.state(run) for run in range(runs)])
    for expected, actual in zip(*ends, strict=True):
        for key, value in expected.items():
            torch.testing.assert_close(actual[key], value, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_rows_in_another_order_of_memory_are_copied_once():
    x = torch.randn(3, 40, generator=torch.Generator().manual_seed(0)).T
    data = gd.Dataset.from_arrays(x, x.sum(1))
    ends = []
    for name in ("eager", "compiled"):
        model = gd.MLP(3, 1, hidden=[4])
        gd.initialize(model, gd.Kaiming(), seed=0)
        run = gd.Problem(
            gd.Objective(model, gd.MSE()), gd.GD(model.parameters(), lr=0.01), gd.Constant(), 0
        )
        engine = gd.build_engine(name, [run], data, gd.MiniBatch(40, 8), epochs=2)
        engine.advance(0, 5)
        ends.append(engine.state(0))
    for key, value in ends[0].items():
        torch.testing.assert_close(ends[1][key], value)
