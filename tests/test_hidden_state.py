"""HiddenState reports and restores the state that components keep outside their arguments."""

from __future__ import annotations

import copy
import inspect
import itertools
import pickle
import random
import typing
import weakref
from abc import ABC
from collections import deque
from collections.abc import Sized

import numpy as np
import pytest
import torch
from torch import nn

import gdframe as gd
from gdframe.hidden_state import HiddenState, undisturbed
from gdframe.hidden_state.attachments import has_attachments

COUNT = 0
TABLE = {"n": [0]}


def counts():
    global COUNT
    COUNT += 1


def appends():
    TABLE["n"].append(1)


def by_default(past=[]):  # noqa: B006
    past.append(1)


def with_attribute():
    with_attribute.calls += 1


with_attribute.calls = 0


def closure():
    calls = 0

    def call():
        nonlocal calls
        calls += 1
        return calls

    return call


def boxed():
    box = [0]

    def call():
        box[0] += 1
        return box[0]

    return call


class Holder:
    total = 0
    __slots__ = ("inner", "seen")

    def __init__(self):
        self.inner, self.seen = {"a": 1}, set()

    def __call__(self):
        type(self).total += 1


class Slotted(Holder):
    def __call__(self):
        self.seen.add(len(self.seen))
        self.inner = {"b": 2}


class Draws:
    def __init__(self, generator, draw):
        self.generator, self.draw = generator, draw

    def __call__(self):
        return self.draw(self.generator)


CALLS = {
    "a global number": lambda: counts,
    "a list in a global": lambda: appends,
    "a default argument": lambda: by_default,
    "an attribute of a function": lambda: with_attribute,
    "a closed-over number": closure,
    "a closed-over list": boxed,
    "a class attribute": Holder,
    "slots": Slotted,
    "torch": lambda: lambda: torch.rand(1),
    "random": lambda: lambda: random.random(),
    "numpy": lambda: lambda: np.random.rand(),
    "a torch generator": lambda: Draws(
        torch.Generator().manual_seed(0), lambda g: torch.rand(1, generator=g).item()
    ),
    "a numpy generator": lambda: Draws(np.random.default_rng(0), lambda g: g.random()),
    "a random generator": lambda: Draws(random.Random(0), lambda g: g.random()),
    "an old numpy generator": lambda: Draws(np.random.RandomState(0), lambda g: g.rand()),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_change_by_a_call_is_reported_and_restored(name):
    call = CALLS[name]()
    with HiddenState({"it": call}) as saved:
        assert saved.changed() is None
        first = call()
        assert saved.changed() is not None
    with HiddenState({"it": call}) as saved:
        assert saved.changed() is None
        assert call() == first or isinstance(first, torch.Tensor)
        assert saved.changed() is not None


def test_parts_of_a_module_are_restored():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.BatchNorm1d(2)
            self.plain = torch.zeros(2)
            self.array = np.zeros(2)
            self.values = deque([1], maxlen=3)

        def forward(self, x):
            with torch.no_grad():
                self.layer.weight.mul_(2)
            self.plain = self.plain + 1
            self.array += 1
            self.extra = x
            self.values.append(2)
            return self.layer(x)

    model, rows = Model(), torch.randn(4, 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with HiddenState({"model": model}) as saved:
        model.eval()
        assert saved.changed() is None  # a change of mode is not reported
        model.train()
        model(rows)
        assert saved.changed().startswith("model")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model.plain, torch.zeros(2))
    assert (model.array == 0).all()
    assert not hasattr(model, "extra")
    assert list(model.values) == [1]
    assert model.training


def test_iterators_are_named_and_not_consumed():
    numbers = itertools.count()
    saved = HiddenState({"rule": {"numbers": numbers}})
    assert saved.opaque == "rule['numbers']"
    assert next(numbers) == 0


def hook(model):
    model.register_forward_hook(lambda *_: None)


def hook_of_a_layer(model):
    model.layers[0].register_full_backward_hook(lambda *_: None)


def hook_of_a_parameter(model):
    next(model.parameters()).register_hook(lambda gradient: gradient)


def hook_after_accumulation(model):
    next(model.parameters()).register_post_accumulate_grad_hook(lambda _: None)


def parametrization(model):
    nn.utils.parametrize.register_parametrization(model.layers[0], "weight", nn.Identity())


def other_forward(model):
    model.layers[0].forward = lambda x: x


ATTACH = [
    hook, hook_of_a_layer, hook_of_a_parameter, hook_after_accumulation, parametrization,
    other_forward,
]  # fmt: skip


@pytest.mark.parametrize("attach", ATTACH, ids=lambda function: function.__name__)
def test_components_of_gdframe_keep_no_state_without_attachments(attach):
    model = gd.MLP(2, hidden=[3])
    assert not isinstance(undisturbed(model=model, loss=gd.MSE(), penalty=None), HiddenState)
    assert not has_attachments(model)
    attach(model)
    assert isinstance(undisturbed(model=model), HiddenState)
    assert has_attachments(model)


def test_a_loss_with_another_method_may_keep_state():
    loss = gd.MSE()
    loss.check = lambda data: None
    assert isinstance(undisturbed(loss=loss), HiddenState)


def test_a_parameter_that_is_frozen_or_reshaped_is_noticed_and_put_back():
    model = nn.Linear(2, 1)
    saved, weight = HiddenState({"model": model}), model.weight.detach().clone()
    model.weight.requires_grad_(False)
    assert saved.changed().endswith("weight.requires_grad")
    saved.restore()
    assert model.weight.requires_grad
    model.weight.data = torch.zeros(3, 3)
    assert saved.changed() is not None
    saved.restore()
    assert torch.equal(model.weight, weight)


NOTED = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "hints": lambda value: typing.get_type_hints(type(value)),
    "annotations": lambda value: type(value).__annotations__,
    "signature": lambda value: inspect.signature(type(value)),
    "instance of": lambda value: (isinstance(value, Sized), isinstance(3, type(value).__mro__[1])),
    "reference": lambda value: weakref.ref(value)(),
    "text": lambda value: (repr(value), hash(value), dir(value), vars(value)),
}
"""What may make Python note something in a class."""


class Base(ABC):  # noqa: B024
    size: int = 3


class Noted(Base):
    """A class of which nobody has made a copy before."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale


@pytest.mark.parametrize("does", NOTED.values(), ids=NOTED)
def test_what_python_notes_in_a_class_is_no_change(does):
    for name in ("__slotnames__", "__annotations__"):  # as if it were done for the first time
        if name in vars(Noted):
            delattr(Noted, name)
    value = Noted()
    saved = HiddenState({"loss": value})
    does(value)
    assert saved.changed() is None
