"""Code of users that some engines cannot execute as it is written is found."""

from __future__ import annotations

import pytest
import torch
from catching import CATCHERS, truth

from gdframe.hidden_state.user_code import place_that_asks_for_gradients, place_that_catches_errors


def nested(flag):
    return [truth(f) for f in [flag]]


@pytest.mark.parametrize("function", [*CATCHERS.values(), nested, lambda f: truth(f)])
def test_code_that_catches_errors_is_found(function):
    assert place_that_catches_errors({"rule": function})


def cleaned(flag):
    try:
        return flag + 1
    finally:
        del flag


def in_context(flag):
    with torch.no_grad():
        return flag + 1


@pytest.mark.parametrize("function", [cleaned, in_context, lambda f: all(x for x in [f])])
def test_code_that_catches_nothing_is_free(function):
    assert not place_that_catches_errors({"rule": function})


@pytest.mark.parametrize("function", [lambda x: torch.is_grad_enabled(), lambda x: x.grad_fn])
def test_code_that_asks_for_gradients_is_found(function):
    assert place_that_asks_for_gradients({"model": function})
    assert not place_that_asks_for_gradients({"model": in_context})
