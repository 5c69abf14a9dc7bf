"""Models as researchers write them: every one is computed as written, or refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

import gdframe as gd

MODELS: dict[str, Callable[[int], nn.Module]] = {}
"""By name, a function of the run's number that returns a model of 3 features and 1 output."""

LINEAR: set[str] = set()
"""Those whose class is one of gdframe's linear models."""


def model(name: str, *, linear: bool = False):
    def decorate(make: Callable[[int], nn.Module]) -> Callable[[int], nn.Module]:
        MODELS[name] = make
        if linear:
            LINEAR.add(name)
        return make

    return decorate


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
        self.kept = {}

    def forward(self, x):
        self.kept.setdefault("mean", x.mean(dim=0))
        return super().forward(x - self.kept["mean"])


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


# built on gdframe's linear model


@model("linear", linear=True)
def _(run):
    return gd.Linear(3)


class Scaled(gd.Linear):
    def forward(self, features):
        return 2 * super().forward(features)


@model("linear with another forward", linear=True)
def _(run):
    return Scaled(3)


class Squared(gd.Linear):
    def __init__(self, features) -> None:
        super().__init__(2 * features)

    def design(self, features):
        return torch.cat([features, features**2], dim=1)


@model("linear with another design", linear=True)
def _(run):
    return Squared(3)


class Swinging(gd.Linear):
    def __init__(self, features, scale) -> None:
        super().__init__(features)
        self.scale = scale

    def design(self, features):
        return features * self.scale


@model("linear with another design in each run", linear=True)
def _(run):
    return Swinging(3, 1.0 + run)


@model("linear with a hook", linear=True)
def _(run):
    built = gd.Linear(3)
    built.register_forward_hook(lambda module, inputs, output: output + 1)
    return built


@model("linear with a hook on the gradient", linear=True)
def _(run):
    built = gd.Linear(3)
    built.weight.register_hook(lambda grad: 0.5 * grad)
    return built


@model("linear with a forward of its own", linear=True)
def _(run):
    built = gd.Linear(3)
    built.forward = lambda features: 3 * gd.Linear.forward(built, features)
    return built


@model("linear with weight norm", linear=True)
def _(run):
    built = gd.Linear(3)
    nn.utils.parametrizations.weight_norm(built)
    return built


class Extra(gd.Linear):
    def __init__(self, features) -> None:
        super().__init__(features)
        self.gain = nn.Parameter(torch.ones(1))


@model("linear with a parameter more", linear=True)
def _(run):
    return Extra(3)


@model("linear with a frozen bias", linear=True)
def _(run):
    built = gd.Linear(3)
    built.bias.requires_grad_(False)
    return built


class Drawing(gd.Linear):
    def design(self, features):
        return features + (0.1 * torch.randn_like(features) if self.training else 0.0)


@model("linear with a random design", linear=True)
def _(run):
    return Drawing(3)


class CountedDesign(gd.Linear):
    calls = 0

    def design(self, features):
        type(self).calls += 1
        return features / type(self).calls


@model("linear with a counted design", linear=True)
def _(run):
    return CountedDesign(3)
