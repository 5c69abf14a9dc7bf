"""The compiled engine rounds, and treats what is not finite, as written; or it refuses."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from counting import Counting

import gdframe as gd
from gdframe.engines.inductor import options
from gdframe.engines.inexact import InexactOperationError, RefuseInexact

DATA = gd.Regression(rows=40, features=3, noise=0.3).load(dtype=torch.float32)

ROUNDED = {
    "half": lambda x: x.half().to(x.dtype),
    "bfloat16": lambda x: x.bfloat16().to(x.dtype),
    "both": lambda x: x.half().bfloat16().to(x.dtype),
    "eight bits": lambda x: x.to(torch.float8_e4m3fn).to(x.dtype),
    "sum": lambda x: (x.half() + 1).to(x.dtype),
    "by copy": lambda x: torch.empty_like(x, dtype=torch.bfloat16).copy_(x) * x,
    "in place": lambda x: torch.zeros_like(x, dtype=torch.bfloat16).add_(x) * x,
    "of a list": lambda x: (torch._foreach_mul([x], 0.5)[0].half()).to(x.dtype),
}
"""Ways to round to a type of less than 32 bits."""

WRITTEN = {
    "to float32": lambda x: x.float().to(x.dtype),
    "to float64": lambda x: (x.double() + 1e-9).to(x.dtype),
    "to and from float64": lambda x: x.double().float().to(x.dtype),
    "to int": lambda x: (3 * x.nan_to_num(0).clamp(-9, 9)).int().to(x.dtype),
    "to int8": lambda x: (3 * x.nan_to_num(0).clamp(-9, 9)).to(torch.int8).to(x.dtype) * x,
    "to bool": lambda x: x.bool().to(x.dtype) * x,
    "bits": lambda x: (x.float().view(torch.int32) & -65536).view(torch.float32).to(x.dtype),
    "0 * x": lambda x: 0 * x,
    "x * 0": lambda x: x * 0,
    "x * False": lambda x: x * False,
    "x.mul_(0)": lambda x: x.clone().mul_(0),
    "0.0 * x": lambda x: 0.0 * x,
    "x * zeros": lambda x: x * torch.zeros_like(x),
    "list * 0": lambda x: torch._foreach_mul([x], 0)[0],
    "x + 0": lambda x: x + 0,
    "x + zeros": lambda x: x + torch.zeros_like(x),
    "0 - x": lambda x: 0 - x,
    "alpha": lambda x: torch.add(torch.ones_like(x), x, alpha=0),
    "value": lambda x: torch.addcdiv(torch.ones_like(x), x, x, value=0),
    "weight": lambda x: torch.lerp(torch.ones_like(x), x, 0),
    "x - x": lambda x: x - x,
    "x / x": lambda x: x / x,
    "x / 3 * 3": lambda x: x / 3 * 3,
    "x + 1 - 1": lambda x: x + 1 - 1,
    "lost digits": lambda x: x - ((x + 1e4) - 1e4),
    "x**0": lambda x: x**0,
    "x**1": lambda x: x**1,
    "x**0.5": lambda x: x**0.5,
    "1**x": lambda x: 1**x,
    "0**x": lambda x: 0 ** x.abs(),
    "x**zeros": lambda x: torch.pow(x, torch.zeros_like(x)),
    "where equal": lambda x: torch.where(x == x, x, 1.0),
    "where same": lambda x: torch.where(x > 0, x, x),
    "maximum": lambda x: torch.maximum(x, -x),
    "fmax": lambda x: torch.fmax(x, torch.zeros_like(x)),
    "clamp": lambda x: x.clamp(-1e30, 1e30),
    "crossed clamp": lambda x: x.clamp(2.0, 1.0),
    "relu": torch.relu,
    "softshrink": F.softshrink,
    "hardshrink": F.hardshrink,
    "sqrt**2": lambda x: x.sqrt() ** 2,
    "exp(log)": lambda x: x.log().exp(),
    "neg(neg)": lambda x: x.neg().neg(),
    "copysign": lambda x: torch.copysign(torch.ones_like(x), x),
    "1 / (0 * x)": lambda x: 1 / (0 * x.abs()),
    "xlogy": lambda x: torch.xlogy(0 * x, x),
    "nansum": lambda x: x.nansum(),
    "less its largest": lambda x: 3.3 * x - (3.3 * x).amax(0, keepdim=True),
    "sum of ones": lambda x: torch.ones_like(x).cumsum(0),
    "softmax": lambda x: F.softmax(x.nan_to_num(0, 9, -9), 0),
}
"""Ways to write what a compiler may simplify to something that rounds otherwise, or hides NaN."""

VALUES = [
    0.0, -0.0, 1.0, -1.0, 0.1, -0.3, 2.5, -2.5, 1e-7, -1e-7, 1e-30, 70001.0, -70001.0, 1e20,
    float("inf"), -float("inf"), float("nan"),
]  # fmt: skip


@pytest.mark.parametrize("name", ROUNDED)
def test_numbers_of_fewer_than_32_bits_are_refused(name):
    with RefuseInexact(), pytest.raises(InexactOperationError, match=r"numbers of \w*float"):
        ROUNDED[name](torch.tensor(VALUES))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's, about itself
@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_is_computed(name):
    # each alone, since the compiler simplifies less where a graph holds several of a kind
    x, function = torch.tensor(VALUES), WRITTEN[name]
    with RefuseInexact():
        expected = function(x.clone())
    torch._dynamo.reset()
    actual = torch.compile(function, fullgraph=True, options=options(to_file=False))(x.clone())
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=0.0, equal_nan=True)


class LowPrecision(Counting):
    """Keeps weights in bfloat16 after a warm-up, which the first steps do not show."""

    def __init__(self, params, lr, *, warm=10.0):
        super().__init__(params, {"lr": lr, "warm": warm})

    @staticmethod
    def update(params, grads, state, hyper):
        t = [count + 1 for count in state["t"]]
        new = [p - hyper["lr"] * g for p, g in zip(params, grads)]
        low = [p.bfloat16().to(p.dtype) for p in new]
        return [torch.where(c > hyper["warm"], q, p) for c, q, p in zip(t, low, new)], {"t": t}


class Kept(LowPrecision):
    """Keeps its momentum in float16."""

    @staticmethod
    def init_state(params):
        return {"m": [torch.zeros_like(p, dtype=torch.float16) for p in params]}

    @staticmethod
    def update(params, grads, state, hyper):
        m = [m.mul_(0.9).add_(g) for m, g in zip(state["m"], grads)]
        return [p - hyper["lr"] * v for p, v in zip(params, m)], {"m": m}


@pytest.mark.parametrize("runs", [1, 2])
@pytest.mark.parametrize("rule", [LowPrecision, Kept])
def test_a_rule_that_rounds_late_is_refused_by_the_compiled_engine(rule, runs):
    problems = []
    for seed in range(runs):
        model = gd.MLP(DATA.features, 1, hidden=[4])
        gd.initialize(model, gd.Kaiming(), seed=seed)
        optimizer = rule(model.parameters(), lr=0.003)
        problems.append(gd.Problem(gd.Objective(model, gd.MSE()), optimizer, gd.Constant(), seed))
    with pytest.raises(gd.CannotExecute, match="float16, which PyTorch's compiler"):
        gd.build_engine("compiled", problems, DATA, gd.MiniBatch(DATA.rows, 8), epochs=20)
