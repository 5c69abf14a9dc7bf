"""Models as researchers write them: each is computed as written, or refused."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .model import model


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 4)
        self.outer = nn.Linear(4, 1)

    def forward(self, x):
        return self.outer(torch.tanh(self.inner(x)))


@model("plain")
def _(run):
    return Base()


@model("sequential")
def _(run):
    return nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 1))


class Acting(Base):
    def __init__(self, act) -> None:
        super().__init__()
        self.act = act

    def forward(self, x):
        return self.outer(self.act(self.inner(x)))


@model("another function in each run")
def _(run):
    return Acting((torch.tanh, torch.sigmoid, torch.sin)[run % 3])


@model("another closure in each run")
def _(run):
    return Acting(lambda x: torch.tanh(x * (1 + run)))


class Listing(Base):
    def __init__(self, scales) -> None:
        super().__init__()
        self.scales = scales

    def forward(self, x):
        return self.outer(torch.tanh(self.inner(x)) * sum(self.scales))


@model("another list in each run")
def _(run):
    return Listing([1.0, float(run)])


@model("another tensor in each run")
def _(run):
    return Listing([torch.tensor(float(run))])


@model("another array in each run")
def _(run):
    return Listing(list(np.array([1.0, run])))


class Settings:
    def __init__(self, gain) -> None:
        self.gain = gain


class Configured(Base):
    def __init__(self, gain) -> None:
        super().__init__()
        self.settings = Settings(gain)

    def forward(self, x):
        return self.settings.gain * super().forward(x)


@model("another object in each run")
def _(run):
    return Configured(1.0 + run)


@model("another setting of a layer in each run")
def _(run):
    return nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(0.1 * (1 + run)), nn.Linear(4, 1))


class Buffered(Base):
    def __init__(self, shift) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor(float(shift)), persistent=False)

    def forward(self, x):
        return super().forward(x) + self.shift


@model("another buffer in each run")
def _(run):
    return Buffered(run)


class Counting(Base):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * (1 + 1 / self.calls)


@model("counts its calls")
def _(run):
    return Counting()


class Caching(Base):
    def __init__(self) -> None:
        super().__init__()
        self.cache = {}

    def forward(self, x):
        self.cache.setdefault("mean", x.mean(dim=0))
        return super().forward(x - self.cache["mean"])


@model("caches what it saw first")
def _(run):
    return Caching()


SEEN = []


class Logging(Base):
    def forward(self, x):
        SEEN.append(len(x))
        return super().forward(x) / (1 + len(SEEN))


@model("appends to a global")
def _(run):
    return Logging()


class Running(Base):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(dim=0).detach().to(self.mean)
        return super().forward(x - self.mean)


@model("replaces a buffer")
def _(run):
    return Running()


@model("batch norm")
def _(run):
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


@model("batch norm without statistics")
def _(run):
    return nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 1)
    )


@model("layer norm")
def _(run):
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1))


@model("dropout")
def _(run):
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.3), nn.Linear(4, 1))


class Noisy(Base):
    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(5)

    def forward(self, x):
        noise = torch.randn(x.shape, generator=self.generator, dtype=x.dtype)
        return super().forward(x + 0.1 * noise if self.training else x)


@model("draws from its own generator")
def _(run):
    return Noisy()


class Sampled(Base):
    def forward(self, x):
        noise = 0.0 if self.training else torch.randn_like(x)
        return super().forward(x + noise)


@model("draws in evaluation")
def _(run):
    return Sampled()


class Clamped(Base):
    def forward(self, x):
        with torch.no_grad():
            self.outer.weight.clamp_(-0.1, 0.1)
        return super().forward(x)


@model("clamps its weights")
def _(run):
    return Clamped()


@model("frozen layer")
def _(run):
    built = Base()
    built.inner.requires_grad_(False)
    return built


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(3, 3)
        self.two = nn.Linear(3, 3)
        self.two.weight = self.one.weight
        self.out = nn.Linear(3, 1)

    def forward(self, x):
        return self.out(torch.tanh(self.two(torch.tanh(self.one(x)))))


@model("tied weights")
def _(run):
    return Tied()


class Unused(Base):
    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(2, 2)


@model("a layer without use")
def _(run):
    return Unused()


class Listed(Base):
    def __init__(self) -> None:
        super().__init__()
        self.chosen = [self.inner.weight]

    def forward(self, x):
        return self.outer(torch.tanh(x @ self.chosen[0].T + self.inner.bias))


@model("weights in a list")
def _(run):
    return Listed()


@model("a hook on the gradient")
def _(run):
    built = Base()
    built.inner.weight.register_hook(lambda grad: 0.1 * grad)
    return built


@model("a hook on a layer")
def _(run):
    built = Base()
    built.inner.register_forward_hook(lambda module, inputs, output: 2 * output)
    return built


@model("weight norm")
def _(run):
    built = Base()
    nn.utils.parametrizations.weight_norm(built.inner)
    return built


class Branching(Base):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else -super().forward(x)


@model("branches on its input")
def _(run):
    return Branching()


class BySize(Base):
    def forward(self, x):
        return super().forward(x) / len(x)


@model("by the size of the batch")
def _(run):
    return BySize()


class ByMode(Base):
    def forward(self, x):
        return super().forward(x) * (1.0 if self.training else 0.5)


@model("by mode")
def _(run):
    return ByMode()


class Detached(Base):
    def forward(self, x):
        return self.outer(torch.tanh(self.inner(x)).detach()) + 0 * self.inner(x).sum()


@model("detached")
def _(run):
    return Detached()
