"""Components are compared by everything they hold."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest
import torch
from torch import nn

from gdframe.engines.component_difference import first_difference


class Thing:
    def __init__(self, **values):
        vars(self).update(values)

    def method(self):
        return self


class Slotted:
    __slots__ = ("a",)

    def __init__(self, a):
        self.a = a


def scaled(factor):
    return lambda x: x * factor


def cycle(value):
    thing = Thing(value=value)
    thing.itself = thing
    return thing


ALIKE = [
    (1, 1), (float("nan"), float("nan")), ("a", "a"), ([1, (2, 3)], [1, (2, 3)]),
    (torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("nan")])),
    (np.arange(3), np.arange(3)), (scaled(2), scaled(2)), (torch.tanh, torch.tanh),
    (functools.partial(torch.clamp, min=0), functools.partial(torch.clamp, min=0)),
    (Thing(a=[1]), Thing(a=[1])), (Slotted(1), Slotted(1)), (cycle(1), cycle(1)),
    (nn.Linear(2, 3), nn.Linear(2, 3)), ({1, 2}, {2, 1}), (Thing(a=1).method, Thing(a=1).method),
    (nn.Sequential(nn.Linear(2, 2), nn.Tanh()), nn.Sequential(nn.Linear(2, 2), nn.Tanh())),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), ALIKE, ids=lambda value: type(value).__name__)
def test_alike_values_have_no_difference(a, b):
    assert first_difference(a, b) is None


DIFFERENT = [
    (1, 1.0), (1, True), ([1, 2], [1, 2, 3]), ({"a": 1}, {"b": 1}), (torch.zeros(2), torch.ones(2)),
    (torch.zeros(2), torch.zeros(2).double()), (np.zeros(2), np.ones(2)), (scaled(2), scaled(3)),
    (torch.tanh, torch.sigmoid), (functools.partial(torch.clamp, min=0),
                                  functools.partial(torch.clamp, min=1)),
    (Thing(a=1), Thing(a=2)), (Thing(a=1), Thing(b=1)), (Slotted(1), Slotted(2)),
    (cycle(1), cycle(2)), (nn.Linear(2, 3), nn.Linear(2, 3, bias=False)),
    (nn.LeakyReLU(0.1), nn.LeakyReLU(0.2)), (re.compile("a").match, re.compile("b").match),
    (np.random.default_rng(0), np.random.default_rng(0)),  # objects without visible content
    (nn.ModuleList([nn.Tanh()]), nn.ModuleList([nn.ReLU()])),
    (Thing(a=1).method, Thing(a=2).method),
    ({(1, 2)}, {(1, 3)}),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), DIFFERENT, ids=lambda value: type(value).__name__)
def test_different_values_have_a_difference(a, b):
    assert first_difference(a, b) is not None


def test_frozen_parameters_and_hooks_are_compared():
    a, b = nn.Linear(2, 1), nn.Linear(2, 1)
    assert first_difference(a, b) is None
    a.weight.requires_grad_(False)
    b.weight.requires_grad_(False)
    assert first_difference(a, b) == "weight"
    b.weight.data.copy_(a.weight)
    assert first_difference(a, b) is None
    b.bias.register_hook(lambda grad: grad)
    a.bias.register_hook(lambda grad: 2 * grad)
    assert first_difference(a, b) == "bias"


def test_references_to_trained_parameters_are_alike_where_they_are_of_the_same_parameter():
    assert first_difference(nn.GRU(2, 3), nn.GRU(2, 3)) is None  # it keeps weak references
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    a.also, b.also = [a.weight], [b.weight]
    assert first_difference(a, b) is None
    b.also = [nn.Parameter(b.weight.detach().clone())]
    assert first_difference(a, b) == "also[0]"


def test_weights_that_are_shared_in_one_model_alone_are_a_difference():
    a, b = (nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)) for _ in range(2))
    a[1].weight = a[0].weight
    assert first_difference(a, b) == "1.weight"


def test_the_path_of_the_difference_is_returned():
    a, b = (nn.Sequential(nn.Linear(2, 2), nn.Softplus(beta)) for beta in (1.0, 2.0))
    assert first_difference(a, b) == "1.beta"


@pytest.mark.parametrize("kind", [
    "register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook",
    "register_full_backward_pre_hook",
])  # fmt: skip
@pytest.mark.parametrize("place", range(4))
def test_a_hook_on_one_of_many_modules_is_a_difference(kind, place):
    a, b = (nn.Sequential(*(nn.Linear(2, 2) for _ in range(4))) for _ in range(2))
    getattr(b[place], kind)(lambda *_: None)
    assert first_difference(a, b) is not None
    assert first_difference(b, a) is not None
