"""HiddenState sees state in unusual places, and tells where it cannot see."""

from __future__ import annotations

import collections
import contextlib
import contextvars
import ctypes
import functools
import importlib.util
import os
import sys
import threading
import time
import types
import warnings
import weakref
from types import MappingProxyType

import numpy as np
import pytest
import torch

import gdframe as gd
from gdframe.hidden_state import HiddenState
from gdframe.hidden_state.transparency import hides_state, is_library

NUMBER, VARIABLE = ctypes.c_int(0), contextvars.ContextVar("number", default=0)


def counted(values, *, memory):
    memory["n"] += 1
    return values


class Meta(type):
    calls = 0


class Counting(metaclass=Meta):
    __memory__ = {"n": 0}  # noqa: RUF012

    def by_metaclass(self):
        type(type(self)).calls += 1

    def by_dunder(self):
        self.__memory__["n"] += 1


@functools.wraps(torch.relu)
def wrapped(values, past=[]):  # noqa: B006
    past.append(1)
    return values


def by_environment():
    os.environ["GDFRAME_TEST_CALLS"] = os.environ.get("GDFRAME_TEST_CALLS", "") + "x"


def bound():
    past = []
    push = past.append
    return lambda: push(1)


def counter():
    """Return an object that counts in an attribute, and can be a key."""
    return type("Counter", (), {"n": 0})()


def count(held):
    held.n += 1


def cached(size):
    box = functools.lru_cache(size)(lambda key: [0])
    box("key")
    return lambda: box("key").append(1)


def cached_anew():
    box = functools.lru_cache(lambda key: [0])
    return lambda: box("key").append(1)


def decorated(decorator):
    past = []
    return decorator(lambda *_: past.append(1))


def single_dispatch():
    past = []
    dispatch = functools.singledispatch(lambda value: past.append(value))
    dispatch(1)
    return lambda: dispatch(1)


def context():
    past = []

    @contextlib.contextmanager
    def counting():
        past.append(1)
        yield

    def call():
        with counting():
            pass

    return call


def turned(kind):
    order = kind.fromkeys(range(3))
    return lambda: order.update({0: order.pop(0)})


def on_a_tensor():
    tensor = torch.zeros(1)
    tensor.calls = 0
    return lambda: setattr(tensor, "calls", tensor.calls + 1)


def behind(hold, reach):
    """Return a function that counts in an object that is reached through another."""
    held = counter()
    outer = hold(held)
    HELD.append(held)
    return lambda: count(reach(outer))


HELD = []
"""Keeps what weak references refer to."""


def in_an_array(held):
    array = np.empty(1, dtype=object)
    array[0] = held
    return array


SEEN = {
    "a partial's arguments": lambda: functools.partial(counted, 1, memory={"n": 0}),
    "a metaclass": lambda: Counting().by_metaclass,
    "a class attribute with underscores": lambda: Counting().by_dunder,
    "a wrapper with a library's name": lambda: functools.partial(wrapped, 1),
    "the environment": lambda: by_environment,
    "a bound method of a list": bound,
    "results that a cache holds": lambda: cached(None),
    "results that a bounded cache holds": lambda: cached(4),
    "results that a cache gets": cached_anew,
    "a function without gradients": lambda: decorated(torch.no_grad()),
    "a function in inference mode": lambda: decorated(torch.inference_mode()),
    "a function with autocast": lambda: decorated(torch.autocast("cpu", enabled=False)),
    "a function by the type of its argument": single_dispatch,
    "a context manager": context,
    "the order of a dict": lambda: turned(dict),
    "the order of an ordered dict": lambda: turned(collections.OrderedDict),
    "an attribute of a tensor": on_a_tensor,
    "an array of objects": lambda: behind(in_an_array, lambda array: array[0]),
    "a weak reference": lambda: behind(weakref.ref, lambda ref: ref()),
    "the key of a dict": lambda: behind(lambda held: {held: 1}, lambda keys: next(iter(keys))),
    "a read-only dict": lambda: behind(lambda held: MappingProxyType({1: held}), lambda d: d[1]),
    "an argument of an exception": lambda: behind(ValueError, lambda error: error.args[0]),
}


@pytest.mark.parametrize("name", SEEN)
def test_a_change_in_an_unusual_place_is_reported_and_restored(name, monkeypatch):
    monkeypatch.setenv("GDFRAME_TEST_CALLS", "")
    call = SEEN[name]()
    with HiddenState({"it": call}) as saved:
        assert saved.changed() is None
        call()
        assert saved.changed() is not None
    assert saved.changed() is None


@pytest.mark.parametrize(
    "value",
    [NUMBER, VARIABLE, threading.local(), memoryview(bytearray(2)), np.random.SeedSequence(0)],
)
def test_values_that_hide_their_state_are_named(value):
    assert HiddenState({"it": [value]}).opaque == "it[0]"


@pytest.mark.parametrize(
    "value",
    [
        iter([1, 2]).__next__, sys.modules[__name__], lambda: globals()["HELD"],
        lambda: setattr(torch, "calls", 1), lambda: sys.modules["torch"].calls,
        lambda: open("calls"), lambda: time.time() > 1e12,  # noqa: PTH123, SIM115
    ],
)  # fmt: skip
def test_code_that_reaches_what_it_does_not_name_is_named(value):
    assert HiddenState({"it": value}).opaque.startswith("it")


@pytest.mark.parametrize(
    "value",
    [
        torch.nn.Linear(1, 1), gd.GD([torch.zeros(1, requires_grad=True)], lr=0.1), range(3),
        threading.Lock(), np.float64(1.0), MappingProxyType({}),
        functools.cached_property(len), ValueError(), gd.Status.FAILED, torch.relu, np.add,
    ],
)  # fmt: skip
def test_usual_values_show_their_state(value):
    assert not hides_state(value)
    assert HiddenState({"it": value}).opaque is None


def test_names_of_one_module_are_seen_from_every_function(tmp_path):
    module = load(tmp_path / "two_functions_of_one.py", "a = [0]\nb = [0]\n")
    source = "def first(): return m.a\ndef second(): m.b.append(1)\n"
    names = {"m": module, "__builtins__": __builtins__}
    exec(source, names)
    saved = HiddenState({"first": names["first"], "second": names["second"]})
    names["second"]()
    assert saved.changed() is not None


def load(path, source):
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


RULE = """
import gdframe as gd
calls = 0
class Late(gd.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})
    @staticmethod
    def update(params, grads, state, hyper):
        global calls
        calls += 1
        return [p - hyper["lr"] * g / calls for p, g in zip(params, grads)], state
"""


@pytest.mark.parametrize("name", ["graphlib", "code", "scipy"])
def test_a_file_named_like_a_library_is_not_a_library(name, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, name, raising=False)
    try:
        module = load(tmp_path / f"{name}.py", RULE)
        assert not is_library(module)
        assert not is_library(module.Late)
        data = gd.Regression(rows=40, features=3).load()
        model = gd.Linear(3)
        with pytest.raises(gd.CannotExecute, match="changes its optimizer"):
            gd.Trainer(
                model, gd.MSE(), module.Late(model.parameters(), lr=0.1),
                gd.FullBatch(data.rows), data, engine="linear",
            )  # fmt: skip
    finally:
        sys.modules.pop(name, None)


def test_python_and_the_libraries_are_libraries():
    assert all(map(is_library, [os, os.makedirs, torch.nn.Linear, gd.Loss]))
    assert all(map(is_library, [sys, int, np.linalg.norm.__wrapped__, threading.Thread]))
    assert not is_library(pytest)
    assert not is_library(wrapped)


def test_a_slot_that_a_property_hides_is_no_state():
    class Number:
        __slots__ = ("digits",)

    class Constant(Number):
        @property
        def digits(self):
            return object()

    with HiddenState({"constant": Constant()}) as saved:
        assert saved.changed() is None


def scripted():
    """Return a scripted layer with parameters and buffers; torch.jit warns that it is old."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)))


class Unreadable(dict):
    """A container that does not let anybody look."""

    def __iter__(self):
        raise RuntimeError("not here")

    keys = items = __iter__


class Loose(list):
    def __iter__(self):
        raise RuntimeError("not here")


class Bare:
    __slots__ = ("part",)

    def __getattribute__(self, name):
        raise RuntimeError("not here")


@pytest.mark.parametrize("make", [scripted, Unreadable, Loose, Bare])
def test_containers_of_other_kinds_are_opaque(make):
    holder = types.SimpleNamespace(part=make(), calls=0)
    saved = HiddenState({"holder": vars(holder)})
    assert saved.opaque is not None
    holder.calls += 1
    assert saved.changed() == "holder['calls']"
    saved.restore()
    assert holder.calls == 0


def test_parameters_and_buffers_of_a_scripted_module_are_restored():
    module = torch.nn.Sequential(scripted())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    saved = HiddenState({"model": module})
    module(torch.arange(12.0).reshape(4, 3))
    assert saved.changed() == "model.0.1.running_mean"
    with torch.no_grad():
        next(module.parameters()).add_(1)
    saved.restore()
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


class Scripted(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = scripted(), torch.nn.Linear(4, 1)

    def forward(self, x):
        return self.outer(self.inner(x))


def test_a_model_with_a_scripted_module_trains():
    data = gd.Regression(rows=40, features=3).load()
    model = Scripted()
    rule = gd.GD(model.parameters(), lr=0.1)
    trainer = gd.Trainer(model, gd.MSE(), rule, gd.FullBatch(data.rows), data, epochs=3)
    assert trainer.fit().status == gd.Status.MAX_EPOCHS
