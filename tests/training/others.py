"""Optimizers and models of others, by where they keep their state, and a trainer of them."""

from __future__ import annotations

import torch
from torch import nn
from trainers import DATA

import gdframe as gd


class Descent(torch.optim.Optimizer):
    """Multiplies the learning rate by a factor; subclasses keep what the factor depends on."""

    def __init__(self, params, lr=0.05, **settings):
        super().__init__(params, {"lr": lr, **settings})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad, alpha=-group["lr"] * self.factor(group, p, self.state[p]))


class NumberInGroup(Descent):
    def __init__(self, params):
        super().__init__(params, k=0)

    def factor(self, group, p, state):
        group["k"] += 1
        return 1 / group["k"]


class TensorInGroup(Descent):
    def __init__(self, params):
        super().__init__(params, k=torch.zeros(()))

    def factor(self, group, p, state):
        group["k"].add_(1)
        return 1 / float(group["k"])


class LateInGroup(Descent):
    def factor(self, group, p, state):
        group["k"] = group.get("k", 0) + 1
        return 1 / group["k"]


class InStateOfNoParameter(Descent):
    def __init__(self, params):
        super().__init__(params)
        self.state["k"] = 0

    def factor(self, group, p, state):
        self.state["k"] += 1
        return 1 / self.state["k"]


class ListOfTensors(Descent):
    def factor(self, group, p, state):
        gradients = state.setdefault("gradients", [])
        gradients.append(p.grad.clone())
        del gradients[:-3]
        return float(sum(gradients).norm() / len(gradients))


class ListOfOneNumber(Descent):
    def factor(self, group, p, state):
        state.setdefault("k", [0.0])[0] += 1
        return 1 / state["k"][0]


class PairOfNumbers(Descent):
    def factor(self, group, p, state):
        a, b = state["pair"] = (state.get("pair", (0, 1))[1], sum(state.get("pair", (0, 1))))
        return 1 / (a + b)


class DictOfTensors(Descent):
    def factor(self, group, p, state):
        moments = state.setdefault("moments", {1: torch.zeros_like(p), "calls": 0})
        moments[1].mul_(0.9).add_(p.grad)
        moments["calls"] += 1
        return float(moments[1].norm()) / moments["calls"]


class TextAndNone(Descent):
    def factor(self, group, p, state):
        state["phase"] = "odd" if state.get("phase", "even") == "even" else "even"
        state.setdefault("seen", None)
        return 1.0 if state["phase"] == "odd" and state["seen"] is None else 0.3


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(3, 4), nn.Linear(4, 1)

    def forward(self, x):
        return self.outer(torch.tanh(self.inner(x)))


class ExtraState(Net):
    calls = 0

    def forward(self, x):
        self.calls += self.training
        return super().forward(x) * (1 + 1 / (1 + self.calls))

    def get_extra_state(self):
        return {"calls": self.calls}

    def set_extra_state(self, state):
        self.calls = state["calls"]


class LateBuffer(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", None)

    def forward(self, x):
        if self.training and self.mean is None:
            self.mean = x.mean(0)
        return super().forward(x if self.mean is None else x - self.mean)


class GrowingBuffer(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("bank", torch.zeros(1, 3, dtype=torch.float64))

    def forward(self, x):
        if self.training:
            self.bank = torch.cat([self.bank, x[:1]])[-20:]
        return super().forward(x - self.bank.mean(0))


class TypedBuffer(Net):
    """Begins with a whole number, which training replaces by its running mean."""

    def __init__(self):
        super().__init__()
        self.register_buffer("size", torch.tensor(1))

    def forward(self, x):
        if self.training:
            self.size = 0.95 * self.size + 0.05 * x.detach().abs().mean()
        return super().forward(x / self.size)


class Unfreezes(Net):
    """Trains its first layer from a step on, and its last layer until then."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.inner.requires_grad_(False)

    def forward(self, x):
        self.calls += self.training
        if self.training and self.calls == 12:
            self.inner.requires_grad_(True)
            self.outer.requires_grad_(False)
        return super().forward(x)


OPTIMIZERS, MODELS = Descent.__subclasses__(), Net.__subclasses__()
"""Those whose state a checkpoint holds whole; the two below keep some elsewhere."""


class HiddenBuffer(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3), persistent=False)

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0) + 0.05
        return super().forward(x - self.mean)


class CountsCalls(Descent):
    def __init__(self, params):
        super().__init__(params)
        self.calls = 0

    def factor(self, group, p, state):
        self.calls += 1
        return 1 / self.calls


def trainer(model=Net, optimizer=torch.optim.SGD, epochs=4, loss=gd.MSE, **more):
    with gd.seeded(1, gd.Purpose.INITIALIZE):
        module = model().double()
    settings = {"engine": "eager", "stopping": gd.Stopping(tolerance=None), **more}
    rule = optimizer(module.parameters())
    loader = gd.MiniBatch(DATA.rows, 7)
    return gd.Trainer(module, loss(), rule, loader, DATA, epochs=epochs, **settings)


class Changing(gd.Optimizer):
    """A rule of gdframe's own form; subclasses begin a state as one type and go on as another."""

    def __init__(self, params, lr=0.05):
        super().__init__(params, {"lr": lr})


class NoneAtFirst(Changing):
    @staticmethod
    def init_state(params):
        return {"before": [None for _ in params]}

    @staticmethod
    def update(params, grads, state, hyper):
        sums = [g if b is None else g + 0.3 * b for g, b in zip(grads, state["before"])]
        return [p - hyper["lr"] * s for p, s in zip(params, sums)], {
            "before": [g.clone() for g in grads]
        }


class NumberAtFirst(Changing):
    @staticmethod
    def init_state(params):
        return {"least": [9 for _ in params], "calls": [0 for _ in params]}

    @staticmethod
    def update(params, grads, state, hyper):
        least = [torch.clamp(g.norm(), max=b) for g, b in zip(grads, state["least"])]
        calls = [c + 1 for c in state["calls"]]
        new = [
            p - hyper["lr"] / c * g * (1 + b / 3) for p, g, b, c in zip(params, grads, least, calls)
        ]
        return new, {"least": least, "calls": calls}


class TensorAtFirst(Changing):
    @staticmethod
    def init_state(params):
        return {"scale": [torch.ones(()) for _ in params], "seen": [torch.ones(2) for _ in params]}

    @staticmethod
    def update(params, grads, state, hyper):
        scale = [0.9 * float(s) for s in state["scale"]]
        new = [p - hyper["lr"] * s * g for p, g, s in zip(params, grads, scale)]
        return new, {"scale": scale, "seen": [None for _ in params]}


class GrowingState(Changing):
    @staticmethod
    def init_state(params):
        return {"bank": [torch.zeros(0, *p.shape, dtype=p.dtype) for p in params]}

    @staticmethod
    def update(params, grads, state, hyper):
        bank = [torch.cat([b, g[None]])[-3:] for b, g in zip(state["bank"], grads)]
        return [p - hyper["lr"] * b.mean(0) for p, b in zip(params, bank)], {"bank": bank}


RULES = Changing.__subclasses__()
