"""Code counts as gdframe's by where it is defined, whatever module it says it is of."""

from __future__ import annotations

import functools
import inspect

import pytest
import torch

import gdframe as gd
from gdframe.hidden_state.transparency import is_library
from gdframe.registry import REGISTRIES, is_built_in
from gdframe.registry.origins import module_of

COMPONENTS = [
    registry.get(name) for registry in REGISTRIES.values() for name in registry
]  # fmt: skip
CLASSES = [component for component in COMPONENTS if isinstance(component, type)]


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda c: c.__qualname__)
def test_every_registered_component_is_built_in(component):
    assert is_built_in(component)
    assert module_of(component) == component.__module__
    methods = [v for v in vars(component).values() if inspect.isfunction(v)]
    assert all(map(is_built_in, methods))


def wrapped_function(function):
    @functools.wraps(function)
    def wrapper(*arguments, **settings):
        return function(*arguments, **settings)

    return wrapper


def renamed_function(function):
    wrapper = lambda *arguments: function(*arguments)  # noqa: E731
    wrapper.__module__, wrapper.__qualname__ = function.__module__, function.__qualname__
    return wrapper


def wrapped_class(kind):
    @functools.wraps(kind, updated=())
    class Wrapper(kind):
        pass

    return Wrapper


def renamed_class(kind):
    return type(kind.__name__, (kind,), {"__module__": kind.__module__})


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__qualname__)
@pytest.mark.parametrize("wrap", [wrapped_class, renamed_class])
def test_a_class_that_bears_the_name_of_another_is_of_a_user(kind, wrap):
    wrapped = wrap(kind)
    assert wrapped.__module__ == kind.__module__
    assert not is_built_in(wrapped)
    assert not is_library(wrapped)
    assert is_built_in(kind)
    assert is_library(kind)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__qualname__)
@pytest.mark.parametrize("wrap", [wrapped_function, renamed_function])
def test_a_wrapped_method_is_of_a_user(kind, wrap):
    for name, value in vars(kind).items():
        function = getattr(value, "__func__", value)
        if inspect.isfunction(function):
            wrapped = wrap(function)
            assert wrapped.__module__ == function.__module__
            assert not is_built_in(wrapped), name
            assert not is_built_in(staticmethod(wrapped)), name
            assert not is_library(wrapped), name


def test_what_pytorch_wraps_is_as_what_it_wraps():
    assert is_built_in(torch.no_grad()(gd.MSE.kernel))
    assert not is_built_in(torch.no_grad()(wrapped_function(gd.MSE.kernel)))
    assert is_library(torch.nn.Linear)
    assert not is_library(wrapped_class(torch.nn.Linear))


def fitted(engine, *, loss=None, penalty=None, rule=gd.Momentum, seed=0):
    data = gd.Regression(rows=60, features=3, noise=0.5, validation=0.2).load(dtype=torch.float64)
    model = gd.Linear(3).double()
    trainer = gd.Trainer(
        model, loss or gd.MSE(), rule(model.parameters(), lr=0.05), gd.MiniBatch(data.rows, 8),
        data, penalty=penalty, engine=engine, epochs=4, seed=seed,
    )  # fmt: skip
    return trainer.fit()


class Capped(gd.MSE):
    """Has a kernel that is gdframe's, but for errors that the first steps do not show."""

    kernel = staticmethod(functools.wraps(gd.MSE.kernel)(lambda z, y: (0.0, 0.0)))


class Written(gd.MSE):
    """Overwrites the outputs that it makes predictions of."""

    @functools.wraps(gd.MSE.predict)
    def predict(self, outputs):
        return outputs.mul_(0.5).exp_()


class Noisy(gd.MSE):
    """Draws targets."""

    @functools.wraps(gd.MSE.encode)
    def encode(self, targets, dtype):
        return targets.to(dtype) + torch.randn(targets.shape, dtype=dtype)


class Firm(gd.L2):
    """Has a kernel that differs from gdframe's for large weights."""

    @staticmethod
    @functools.wraps(gd.L2.kernel)
    def kernel(w, strength):
        return (strength * w * w, 2 * strength * w) if abs(w) < 1e3 else (strength, 0.0)


def test_wrapped_methods_are_checked_as_those_of_users():
    with pytest.raises(gd.UserError, match=r"kernel of its loss"):
        fitted("linear", loss=Capped())
    with pytest.raises(gd.UserError, match="gives other targets when it is called again"):
        fitted("eager", loss=Noisy())
    with pytest.raises(gd.UserError, match="engine=linear cannot execute this"):
        fitted("linear", penalty=wrapped_class(Firm)(strength=0.1), rule=Late)
    objectives = {fitted(engine, loss=Written()).objective for engine in ("eager", "linear")}
    assert max(objectives) == pytest.approx(fitted("eager").objective, rel=1e-10)
    assert min(objectives) == pytest.approx(max(objectives), rel=1e-10)


CALLS = {"n": 0}


class _Late(gd.Momentum):
    @staticmethod
    def update(params, grads, state, hyper):
        CALLS["n"] += 1
        factor = 0.5 if CALLS["n"] > 50 else 1.0
        return gd.Momentum.update(params, [factor * g for g in grads], state, hyper)


Late = functools.wraps(gd.Momentum, updated=())(_Late)


def test_a_wrapped_rule_that_counts_is_refused():
    with pytest.raises(gd.UserError, match=r"CALLS|calls"):
        fitted("linear", rule=Late)
