"""The code that the linear engine writes for a loss, a penalty and an update rule."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
import torch

import gdframe as gd
from gdframe.engines.linear import specialize

UPDATE = specialize.Update(("v0 = u0 * g", "v1 = w - v0"), "v1", ())
RULE = specialize.Rule(("lr",), (), (), (), ("h0",), (), (UPDATE,))


def test_a_users_kernel_is_compiled():
    class Quartic(gd.MSE):
        def __call__(self, outputs, targets):
            return ((outputs - targets) ** 4).mean()

        @staticmethod
        def kernel(z: float, y: float) -> tuple[float, float]:
            error = z - y
            return error**4, 4 * error**3

    data = gd.Regression(rows=20, features=2, validation=0.0).load(dtype=torch.float64)
    ends = []
    for engine in ("eager", "linear"):
        model = gd.Linear(2).double()
        rule = gd.GD(model.parameters(), lr=1e-3)
        gd.Trainer(
            model, Quartic(), rule, gd.PerSample(20), data, epochs=3, engine=engine
        ).fit()  # fmt: skip
        ends.append(model.weight.detach().clone())
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-10, atol=0)


def test_the_written_code_contains_kernels_and_rule():
    spec = specialize.LoopSpec(
        RULE, gd.Huber.kernel, gd.L1.kernel, coupled=False, weighted=False, biases=True,
        dtype="float32", outputs=1, has_many_runs=False,
    )  # fmt: skip
    text = specialize.write_module(spec)
    assert "delta = arguments[0]" in text
    assert "PENALIZE_BIASES = True" in text
    assert "return v1" in text
    compile(text, "text", "exec")


def test_equal_specialisations_are_written_once(monkeypatch):
    def spec(loss):
        return specialize.LoopSpec(
            RULE,
            loss,
            None,
            coupled=False,
            weighted=False,
            biases=False,
            dtype="float64",
            outputs=1,
            has_many_runs=False,
        )

    functions = specialize.specialized(spec(gd.MSE.kernel))
    monkeypatch.setattr(specialize, "write_module", None)
    assert specialize.specialized(spec(gd.MSE.kernel)) is functions
    with pytest.raises(TypeError):
        specialize.specialized(spec(gd.Huber.kernel))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_exponential_is_numpys(dtype):
    spec = specialize.LoopSpec(
        rule=RULE, loss=gd.Poisson.kernel, penalty=None, coupled=False, weighted=False,
        biases=False, dtype=dtype, outputs=1, has_many_runs=False,
    )  # fmt: skip
    functions = specialize.specialized(spec)
    exponential = functions["exponential"]

    @numba.njit
    def all_of(x, values):
        for i in range(len(x)):
            values[i] = exponential(x[i])

    info = np.finfo(dtype)
    smallest, largest = math.log(2 * info.tiny), math.log(info.max)
    wide = np.linspace(smallest + 0.01, largest - 0.01, 200_001)
    x = np.concatenate([wide, np.linspace(-2, 2, 200_001), [0.0, -0.0, 1e-30]]).astype(dtype)
    values = np.empty_like(x)
    all_of(x, values)
    exact = np.exp(x.astype(np.longdouble))
    np.testing.assert_array_less(np.abs(values - exact), 2 * info.eps * exact)

    edges = np.array([-np.inf, -1e30, smallest - 1, largest + 1, 1e30, np.inf, np.nan], dtype)
    values = np.empty_like(edges)
    all_of(edges, values)
    np.testing.assert_array_equal(values, [0, 0, 0, np.inf, np.inf, np.inf, np.nan])
