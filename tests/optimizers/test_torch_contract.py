"""Optimizers work with PyTorch's loops, schedulers and checkpoints."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import gdframe as gd

NAMES = list(gd.OPTIMIZERS)


def build(name, params, **more):
    return gd.OPTIMIZERS.build(name, params=params, lr=0.1, **more)


class Keeps(gd.Optimizer):
    """A pure update rule that returns its arguments as state."""

    def __init__(self, params, lr, what="params"):
        super().__init__(params, {"lr": lr, "what": what})

    @staticmethod
    def init_state(params):
        return {"last": list(params)}

    @staticmethod
    def update(params, grads, state, hyper):
        new = [
            p - hyper["lr"] * (g + p - q) for p, g, q in zip(params, grads, state["last"])
        ]  # fmt: skip
        return new, {"last": params if hyper["what"] == "params" else grads}


@pytest.mark.parametrize("what", ["params", "grads"])
def test_a_state_shares_no_memory_with_parameters_or_gradients(what):
    x = nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = Keeps([x], lr=0.1, what=what)
    (x**2).sum().backward()
    before = x.detach().clone() if what == "params" else x.grad.clone()
    optimizer.step()
    with torch.no_grad():
        x.zero_()
    x.grad.zero_()
    assert torch.equal(optimizer.state[x]["last"], before)


def test_an_initial_state_shares_no_memory_with_parameters():
    x = nn.Parameter(torch.tensor([1.0]))
    optimizer = Keeps([x], lr=0.0)
    optimizer.prepare([x])
    with torch.no_grad():
        x.zero_()
    assert optimizer.state[x]["last"].item() == 1.0


def test_parameters_that_are_returned_in_another_order_are_swapped():
    class Swap(gd.Optimizer):
        @staticmethod
        def update(params, grads, state, hyper):
            return params[::-1], state

    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(2))
    (a.sum() + b.sum()).backward()
    Swap([a, b], {"lr": 0.1}).step()
    assert a.tolist() == [0.0, 0.0]
    assert b.tolist() == [1.0, 1.0]


def test_init_state_gets_the_whole_list_of_parameters():
    class Numbered(gd.Optimizer):
        @staticmethod
        def init_state(params):
            return {"place": [torch.tensor(float(i)) for i, _ in enumerate(params)]}

        @staticmethod
        def update(params, grads, state, hyper):
            return params, state

    a, b = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    (a + b).backward()
    optimizer = Numbered([a, b], {"lr": 0.1})
    optimizer.step()
    assert [optimizer.state[p]["place"].item() for p in (a, b)] == [0.0, 1.0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("setting", "remedy"), [
    ({"weight_decay": 0.1}, "penalty=l2"), ({"maximize": True}, "negative of the objective"),
    ({"foreach": True}, "leave it out"), ({"fused": True}, "leave it out"),
    ({"betta": 0.5}, "It has: "),
])  # fmt: skip
def test_unknown_settings_of_a_group_are_refused(name, setting, remedy):
    x = nn.Parameter(torch.ones(1))
    with pytest.raises(gd.UserError, match=remedy):
        build(name, [{"params": [x], **setting}])
    optimizer = build(name, [x])
    optimizer.param_groups[0].update(setting)
    x.sum().backward()
    with pytest.raises(gd.UserError, match=remedy):
        optimizer.step()


@pytest.mark.parametrize("name", NAMES)
def test_complex_parameters_are_refused(name):
    with pytest.raises(gd.UserError, match="is complex"):
        build(name, [nn.Parameter(torch.ones(2, dtype=torch.complex64))])


@pytest.mark.parametrize("lr", [-1.0, float("nan")])
def test_a_groups_learning_rate_is_checked(lr):
    with pytest.raises(gd.UserError, match=r"lr=.*: expected a finite number"):
        gd.GD([{"params": [nn.Parameter(torch.ones(1))], "lr": lr}], lr=0.1)


@pytest.mark.parametrize("scheduler", [
    lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.5, total_steps=20),
    lambda o: torch.optim.lr_scheduler.CyclicLR(o, base_lr=0.1, max_lr=0.5, step_size_up=3),
])  # fmt: skip
@pytest.mark.parametrize(("ours", "theirs"), [
    (lambda p: gd.Momentum(p, lr=0.1, beta=0.9),
     lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
    (lambda p: gd.Nesterov(p, lr=0.1, beta=0.9),
     lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True)),
    (lambda p: gd.Adam(p, lr=0.1), lambda p: torch.optim.Adam(p, lr=0.1)),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step.*:UserWarning")
def test_torch_schedulers_change_momentum_as_in_torch_optimizers(ours, theirs, scheduler):
    ends = []
    for make in (ours, theirs):
        x = nn.Parameter(torch.tensor([1.0, -3.0], dtype=torch.float64))
        optimizer = make([x])
        schedule = scheduler(optimizer)
        for _ in range(15):
            optimizer.zero_grad()
            (x**2 * torch.tensor([1.0, 0.1])).sum().backward()
            optimizer.step()
            schedule.step()
        ends.append(x.detach().clone())
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("torch_class", [torch.optim.SGD, torch.optim.Adam])
def test_a_state_of_a_torch_optimizer_is_refused(name, torch_class):
    x = nn.Parameter(torch.ones(2))
    x.sum().backward()
    theirs = torch_class([x], lr=0.1)
    theirs.step()
    with pytest.raises(gd.UserError, match="of another optimizer: its parameter groups hold"):
        build(name, [x]).load_state_dict(theirs.state_dict())


def test_a_state_of_other_names_is_refused():
    x = nn.Parameter(torch.ones(2))
    x.sum().backward()
    momentum, second = gd.Momentum([x], lr=0.1), gd.Momentum([x], lr=0.1)
    momentum.step()
    state = momentum.state_dict()
    state["state"][0]["buffer"] = state["state"][0].pop("velocity")
    with pytest.raises(gd.UserError, match=r"it holds buffer .* holds velocity"):
        second.load_state_dict(state)


def test_counters_keep_their_type_under_any_name():
    class Ticks(gd.Optimizer):
        @staticmethod
        def init_state(params):
            return {"ticks": gd.counters(params)}

        @staticmethod
        def update(params, grads, state, hyper):
            return params, {"ticks": [t + 1 for t in state["ticks"]]}

    x = nn.Parameter(torch.ones(2))
    x.sum().backward()
    first, second = Ticks([x], {"lr": 0.1}), Ticks([x], {"lr": 0.1})
    first.step()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert second.state[x]["ticks"].dtype == torch.float64
    assert second.state[x]["ticks"].item() == 1.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_low_precision_follows_single_precision(name, dtype):
    """Squares of gradients overflow float16 at 256, and counters stick in bfloat16 at 256."""
    ends = {}
    for kind in (dtype, torch.float32):
        x = nn.Parameter(torch.tensor([1.0, -2.0], dtype=kind))
        optimizer = gd.OPTIMIZERS.build(name, params=[x], lr=1e-3)
        for step in range(300):
            grad = torch.tensor([300.0 if step % 2 else -299.0, 1e-3], dtype=dtype)
            x.grad = grad.to(kind)
            optimizer.step()
            with torch.no_grad():
                x.copy_(x.to(dtype))
        ends[kind] = x.detach().float()
        assert all(v.dtype != dtype for v in optimizer.state[x].values())
    assert ends[dtype].isfinite().all()
    assert torch.equal(ends[dtype], ends[torch.float32])


def test_an_update_that_takes_an_instance_is_refused():
    class Bound(gd.Optimizer):
        def update(self, params, grads, state, hyper):
            return params, state

    with pytest.raises(
        gd.UserError, match=r"Bound\.update takes an instance: make it a staticmethod"
    ):
        Bound([nn.Parameter(torch.ones(1))], {"lr": 0.1})


@pytest.mark.parametrize(("wrong", "words"), [
    (lambda p, g, s, h: (p[:-1], s), "returned a list of 1 as parameters; expected a list of 2"),
    (lambda p, g, s, h: (p[0], s), "returned a tensor of shape"),
    (lambda p, g, s, h: ([q.sum() for q in p], s), "for a parameter of shape"),
    (lambda p, g, s, h: (p, {"v": g[0]}), "as state 'v'"),
])  # fmt: skip
def test_the_result_of_a_rule_is_checked(wrong, words):
    class Wrong(gd.Optimizer):
        update = staticmethod(wrong)

    params = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))]
    sum(p.sum() for p in params).backward()
    with pytest.raises(gd.UserError, match=f"Wrong.update: .*{words}"):
        Wrong(params, {"lr": 0.1}).step()


@pytest.mark.parametrize("name", ["update", "init_state"])
def test_a_rule_set_on_an_instance_is_refused(name):
    rule = gd.GD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    with pytest.raises(gd.UserError, match=rf"GD\.{name} was set on an instance"):
        setattr(rule, name, lambda *arguments: arguments)


@pytest.mark.parametrize("order", [1, -1])
def test_a_parameter_that_joins_without_the_state_of_the_others_is_refused(order):
    class Late(gd.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @staticmethod
        def update(params, grads, state, hyper):
            return params, {"v": state.get("v", grads)}

    early, late = params = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    rule = Late(params[::order], lr=0.1)
    early.grad = torch.ones(2)
    rule.step()
    late.grad = torch.ones(2)
    with pytest.raises(gd.UserError, match="trained later has no state v; return it from init"):
        rule.step()
