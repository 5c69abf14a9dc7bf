"""Models built on gdframe's linear model."""

from __future__ import annotations

import torch
from torch import nn

import gdframe as gd

from .model import model


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
