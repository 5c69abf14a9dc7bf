"""The contract of an update rule, for all registered optimizers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from gdframe import OPTIMIZERS, Optimizer, UserError
from gdframe.optimizers.tensors import clip_norm, global_norm

RATES = {"adagrad": 0.5, "rmsprop": 0.02, "adam": 0.1}
NAMES = list(OPTIMIZERS)


def problem(seed: int = 0) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    x = torch.randn(20, 3, dtype=torch.float64)
    return model, x, (x**2).sum(dim=1, keepdim=True)


def build(name: str, parameters: object, **more: object) -> Optimizer:
    return OPTIMIZERS.build(name, params=parameters, lr=RATES.get(name, 0.02), **more)


def descend(model, x, y, optimizer, steps: int) -> float:
    for _ in range(steps):
        optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
    return ((model(x) - y) ** 2).mean().item()


@pytest.mark.parametrize("name", NAMES)
def test_lowers_the_loss(name):
    model, x, y = problem()
    before = ((model(x) - y) ** 2).mean().item()
    assert descend(model, x, y, build(name, model.parameters()), 50) < 0.5 * before


@pytest.mark.parametrize("name", NAMES)
def test_same_start_gives_the_same_bits(name):
    ends = []
    for _ in range(2):
        model, x, y = problem()
        descend(model, x, y, build(name, model.parameters(), clip_norm=1.0), 20)
        ends.append([p.detach().clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_state_dict_round_trip_continues_bit_for_bit(name):
    model, x, y = problem()
    optimizer = build(name, model.parameters())
    descend(model, x, y, optimizer, 5)
    copied = copy.deepcopy(model)
    restored = build(name, copied.parameters())
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    descend(model, x, y, optimizer, 5)
    descend(copied, x, y, restored, 5)
    pairs = zip(model.parameters(), copied.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_unchanged(name):
    model, x, y = problem()
    ((model(x) - y) ** 2).mean().backward()
    before = [p.grad.clone() for p in model.parameters()]
    build(name, model.parameters(), clip_norm=1e-3).step()
    after = [p.grad for p in model.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_update_is_pure_and_works_under_vmap(name):
    rule = OPTIMIZERS.get(name)
    torch.manual_seed(0)
    runs = 3
    params = [torch.randn(runs, 4, dtype=torch.float64), torch.randn(runs, 2, 3).double()]
    grads = [torch.randn_like(p) for p in params]
    rates = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    optimizer = build(name, [nn.Parameter(torch.zeros(1))])
    fixed = optimizer.hyper(optimizer.param_groups[0])

    def two_steps(params, grads, lr):
        hyper = {**fixed, "lr": lr, "clip_norm": 0.5}
        state = rule.init_state(params)
        for _ in range(2):
            params, state = rule.apply(params, grads, state, hyper)
        return params

    before = [p.clone() for p in params]
    together = torch.vmap(two_steps)(params, grads, rates)
    assert all(torch.equal(a, b) for a, b in zip(before, params, strict=True))
    for r in range(runs):
        alone = two_steps([p[r] for p in params], [g[r] for g in grads], rates[r].item())
        for a, b in zip(alone, together, strict=True):
            torch.testing.assert_close(a, b[r], rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_without_gradient_are_unchanged(name):
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = build(name, [a, b])
    (a**2).sum().backward()
    optimizer.step()
    assert torch.equal(b, torch.ones(2))
    assert not torch.equal(a, torch.ones(2))
    assert b not in optimizer.state


@pytest.mark.parametrize("name", NAMES)
def test_closure_parameter_groups_and_torch_schedulers(name):
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    groups = [{"params": [a]}, {"params": [b], "lr": 0.0}]
    optimizer = build(name, groups)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.1)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (a**2).sum() + (b**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 4.0
    scheduler.step()
    assert torch.equal(b, torch.ones(2))  # its group's rate is zero
    assert not torch.equal(a, torch.ones(2))
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * RATES.get(name, 0.02))


@pytest.mark.parametrize("name", NAMES)
def test_clipping_equals_torch(name):
    model, x, y = problem()
    copied = copy.deepcopy(model)
    ours = build(name, model.parameters(), clip_norm=0.1)
    theirs = build(name, copied.parameters())
    for _ in range(10):
        for net, optimizer in ((model, ours), (copied, theirs)):
            optimizer.zero_grad()
            ((net(x) - y) ** 2).mean().backward()
        # torch divides by norm + 1e-6, so scale by hand
        norm = global_norm([p.grad for p in copied.parameters()]).item()
        for p in copied.parameters():
            p.grad *= min(1.0, 0.1 / norm)
        ours.step()
        theirs.step()
    for p, q in zip(model.parameters(), copied.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-12)


def test_clipping_below_the_limit_changes_nothing():
    grads = [torch.tensor([3.0, 4.0])]
    assert torch.equal(clip_norm(grads, 5.0)[0], grads[0])
    assert torch.equal(clip_norm([torch.zeros(2)], 5.0)[0], torch.zeros(2))
    torch.testing.assert_close(clip_norm(grads, 1.0)[0], torch.tensor([0.6, 0.8]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"lr": float("nan")}, {"clip_norm": 0.0}])
def test_wrong_hyperparameters_are_refused(name, wrong):
    settings = {"params": [nn.Parameter(torch.zeros(1))], "lr": 0.1, **wrong}
    with pytest.raises(UserError, match=next(iter(wrong))):
        OPTIMIZERS.build(name, **settings)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("momentum", {"beta": 1.0}),
        ("nesterov", {"beta": -0.1}),
        ("rmsprop", {"decay": 1.5}),
        ("adam", {"beta1": 1.0}),
        ("adam", {"beta2": -1.0}),
        ("adam", {"eps": 0.0}),
        ("adagrad", {"eps": -1.0}),
    ],
)
def test_decay_rates_out_of_range_are_refused(name, wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        build(name, [nn.Parameter(torch.zeros(1))], **wrong)


def test_sparse_gradients_are_refused():
    table = nn.Embedding(3, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(UserError, match="dense"):
        build("gd", table.parameters()).step()
