"""Caches of functions, and settings of the process, are before each run as before the sweep."""

from __future__ import annotations

import json

import pytest
from thinned import thinned

PLUGIN = """
import functools
import torch
from thinned import thinned

import gdframe as gd

@functools.lru_cache(maxsize=None)
def numbers(features, width):
    return tuple(map(tuple, torch.randn(features, width).tolist()))

@functools.lru_cache(maxsize=None)
def tensors(features, width):
    return torch.randn(features, width)

assert tensors(2, 3).shape == (2, 3)  # the cache is not empty when a sweep begins

class Cosines(gd.LinearModel):
    def __init__(self, features: int, outputs: int = 1, *, width: int = 4):
        super().__init__(width, outputs, bias=True)
        self.register_buffer("w", torch.as_tensor(self.draw(features, width)))

    def design(self, x):
        return torch.cos(x @ self.w)

@gd.MODELS.register("of_numbers")
class OfNumbers(Cosines):
    draw = staticmethod(numbers)

@gd.MODELS.register("of_tensors")
class OfTensors(Cosines):
    draw = staticmethod(tensors)

class Network(torch.nn.Module):
    def __init__(self, features: int, outputs: int = 1):
        super().__init__()
        self.inner, self.outer = torch.nn.Linear(features, 3), torch.nn.Linear(3, outputs)

    def forward(self, x):
        return self.outer(torch.tanh(self.inner(x)))

@gd.MODELS.register("precise")
class Precise(Network):
    def __init__(self, features: int, outputs: int = 1):
        torch.set_default_dtype(torch.float64)
        super().__init__(features, outputs)

@gd.MODELS.register("usual")
class Usual(Network):
    pass
"""

COMMON = ("plugins=[drawn.py]", "lr=0.01", "epochs=2", "variant=batch", "preflight=false")


@pytest.mark.parametrize(
    ("words", "alone", "place"),
    thinned(
        [(["model=of_numbers", "seed=0,1"], ["model=of_numbers", "seed=1"], "1"),
         (["model=of_tensors", "seed=0,1"], ["model=of_tensors", "seed=1"], "1"),
         (["model=precise,usual"], ["model=usual"], "1")], 3),
)  # fmt: skip
def test_a_run_of_a_sweep_draws_what_it_draws_alone(gdframe, tmp_path, words, alone, place):
    (tmp_path / "drawn.py").write_text(PLUGIN)
    for arguments in (["-m", "sweep.dir=s", *words], ["hydra.run.dir=a", *alone]):
        done = gdframe(*arguments, *COMMON)
        assert done.code == 0, done.err
    ends = [json.loads((tmp_path / at / "result.json").read_text()) for at in (f"s/{place}", "a")]
    assert ends[0]["objective"] == pytest.approx(ends[1]["objective"], rel=1e-6)
