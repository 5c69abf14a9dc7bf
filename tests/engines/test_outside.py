"""Code that reads the clock, files or processes runs on the plain loop; a name alone is no sign."""

from __future__ import annotations

import os
import time
from pathlib import Path
from time import monotonic_ns

import numpy as np
import pytest
import torch

import gdframe as gd

FLAG = Path("stop")
X = np.random.default_rng(0).standard_normal((30, 3))
DATA = gd.Dataset.from_arrays(X, X @ [1.0, 2.0, 3.0], dtype=torch.float64)


def by_import(model, x):
    import datetime

    return x * (1 + 0 * datetime.datetime.now().second)


def by_closure(clock=time):
    return lambda model, x: x * (1 + 0 * clock.time())


OUTSIDE = {
    "a file": lambda model, x: x * (0 if FLAG.exists() else 1),
    "opens": lambda model, x: x * (1 if callable(open) else 2),
    "a process": lambda model, x: x * (1 + 0 * os.getpid()),
    "a folder": lambda model, x: x * (1 + 0 * len(os.listdir())),  # noqa: PTH208
    "the clock": lambda model, x: x * (1 + 0 * time.time()),
    "a function of the clock": lambda model, x: x * (1 + 0 * monotonic_ns()),
    "an attribute": lambda model, x: x * (1 + 0 * model.clock()),
    "an import": by_import,
    "a closure": by_closure(),
}

INSIDE = {
    name: lambda model, x, name=name: x * getattr(model, name)
    for name in ("input", "open", "time", "now", "clock")
} | {
    "time, as an attribute": lambda model, x: x * model.time,
    "open, as an attribute": lambda model, x: x * model.open,
    "input, as an attribute": lambda model, x: x * model.input,
}  # fmt: skip


def reason_against_gram(design, **attributes):
    class Reading(gd.LinearModel):
        def __init__(self):
            super().__init__(3, 1, bias=True)
            vars(self).update(attributes)

        def design(self, x):
            return design(self, x)

    model = Reading().double()
    rule, loader = gd.GD(model.parameters(), lr=0.05), gd.FullBatch(DATA.rows)
    try:
        gd.Trainer(model, gd.MSE(), rule, loader, DATA, epochs=2, engine="gram")
    except gd.CannotExecute as error:
        return error.reason
    return None


@pytest.mark.parametrize("name", OUTSIDE)
def test_code_that_reaches_outside_is_refused(name):
    reason = reason_against_gram(OUTSIDE[name], clock=time.perf_counter)
    assert reason is not None
    assert "the clock" in reason


@pytest.mark.parametrize("name", INSIDE)
def test_an_attribute_of_such_a_name_is_a_number(name):
    numbers = dict.fromkeys(("input", "open", "time", "now", "clock"), 2.0)
    assert reason_against_gram(INSIDE[name], **numbers) is None
