"""The compiled code that engines cache on disk, and the cost of logging traces."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest

import gdframe as gd

CODE = """
import gdframe as gd
data = gd.Regression(rows=30, features=3, validation=0.0).load()
model = gd.Linear(3)
trainer = gd.Trainer(model, gd.MSE(), gd.GD(model.parameters(), 0.01), gd.PerSample(30), data,
                     epochs=3, engine="linear")
print(trainer.fit().objective)
"""


def train(cache) -> str:
    environment = {**os.environ, "GDFRAME_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def damage(cache, ending) -> None:
    """Cut each file of one kind short: to nothing, to its beginning or to its first half."""
    files = list(cache.rglob(f"*.{ending}"))
    assert files
    for number, path in enumerate(files):
        path.write_bytes(path.read_bytes()[: (0, 100, path.stat().st_size // 2)[number % 3]])


def assert_made_anew(cache, expected) -> None:
    assert train(cache) == expected
    assert all(path.stat().st_size > 200 for path in cache.rglob("*.nb[ic]"))


@pytest.mark.slow
def test_compiled_code_is_reused_until_it_is_damaged(tmp_path):
    first = train(tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}
    assert files
    assert train(tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")} == files
    damage(tmp_path, "nbi")
    assert_made_anew(tmp_path, first)


@pytest.mark.slow
def test_an_unwritable_cache_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert train(tmp_path / "file" / "below") == train(tmp_path / "free")


@pytest.mark.slow
def test_a_changed_module_is_written_again(tmp_path):
    first = train(tmp_path)
    (module,) = tmp_path.rglob("loops_*.py")
    text = module.read_text()
    module.write_text("raise SystemExit('not ours')\n")
    assert train(tmp_path) == first
    assert module.read_text() == text


@pytest.mark.slow
def test_damaged_code_is_made_anew(tmp_path):
    first = train(tmp_path)
    damage(tmp_path, "nbc")
    assert_made_anew(tmp_path, first)


COMPILED = """
import sys
import gdframe as gd
from torch._dynamo.utils import counters
data = gd.Regression(rows=30, features=3, validation=0.0).load()
objectives = []
for engine in ("eager", "compiled"):
    model = gd.MLP(3, hidden=[4], activation={activation!r})
    gd.initialize(model, gd.Kaiming(), seed=0)
    rule = gd.Momentum(model.parameters(), 0.01, beta={beta})
    trainer = gd.Trainer(model, gd.MSE(), rule, gd.MiniBatch(30, 5), data, epochs=3, engine=engine,
                         penalty=gd.L2(strength={strength}))
    objectives.append(trainer.fit().objective)
eager, compiled = objectives
assert abs(eager - compiled) < 1e-5 * eager, objectives
print(counters["aot_autograd"]["autograd_cache_hit"])
"""


@pytest.mark.slow
def test_code_compiled_by_inductor_is_reused_if_nothing_differs(tmp_path):
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    plain = {"activation": "tanh", "beta": 0.9, "strength": 0.1}
    changes = [{"activation": "relu"}, {"beta": 0.5}, {"strength": 0.2}]
    hits = []
    for settings in (plain, *({**plain, **change} for change in changes), plain):
        code = COMPILED.format(**settings)
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        hits.append(int(done.stdout))
    assert hits == [0, 0, 0, 0, 1]


@pytest.mark.slow
def test_logging_a_million_steps_costs_little(tmp_path):
    draw = np.random.default_rng(0)
    x = draw.standard_normal((1_000_000, 20), dtype=np.float32)
    data = gd.Dataset.from_arrays(x, x[:, 0] + 1)
    spent = 0.0

    class Timed(gd.TensorBoard):
        def __getattribute__(self, name):
            value = super().__getattribute__(name)
            if not name.startswith("on_"):
                return value

            def timed(*arguments):
                nonlocal spent
                begun = time.perf_counter()
                value(*arguments)
                spent += time.perf_counter() - begun

            return timed

    shares = []
    for number in range(9):
        spent = 0.0
        model = gd.Linear(20)
        trainer = gd.Trainer(
            model, gd.MSE(), gd.GD(model.parameters(), 1e-3), gd.PerSample(len(x)), data,
            epochs=1, engine="linear", observers=[Timed(tmp_path / str(number))],
        )  # fmt: skip
        (tmp_path / str(number)).mkdir()
        seconds = trainer.fit().seconds["train"]
        shares.append(spent / seconds)
    print("logging took", ", ".join(f"{share:.1%}" for share in shares))
    assert sorted(shares)[4] < 0.05


LOADS = """
import sys
import torch
import gdframe as gd
sys.path.insert(0, {folder!r})
from kernels import KERNELS
data = gd.Regression(rows=30, features=2, validation=0.0).load(dtype=torch.float64)
for kernel in KERNELS:
    model = gd.Linear(2).double()
    parts = model, kernel(), gd.Adam(model.parameters(), lr=0.01), gd.MiniBatch(30, 8), data
    print(gd.Trainer(*parts, epochs=3, engine="linear").fit().objective)
print("numba.np.arraymath" in sys.modules)
"""
FUNCTIONS = (
    "acos", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "erf", "erfc", "exp", "expm1",
    "fabs", "floor", "gamma", "lgamma", "log", "log10", "log1p", "sin", "sinh", "sqrt", "tan",
    "tanh",
)  # fmt: skip


@pytest.mark.slow
def test_what_was_compiled_is_loaded_without_all_of_numba(tmp_path):
    text = ["import math", "import gdframe as gd", "KERNELS = []"]
    for name in FUNCTIONS:
        text += [
            f"class {name.title()}(gd.MSE):",
            "    @staticmethod",
            "    def kernel(z, y):",
            f"        value = math.{name}(0.5 + 0.1 * math.tanh(z))",
            "        return (z - y) * (z - y) + 0.0 * value, (z - y) + (z - y)",
            f"KERNELS.append({name.title()})",
        ]
    (tmp_path / "kernels.py").write_text("\n".join(text))
    environment = {**os.environ, "GDFRAME_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    lines = []
    for _ in range(2):
        command = [sys.executable, "-c", LOADS.format(folder=str(tmp_path))]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        lines.append(done.stdout.splitlines())
    assert lines[0][:-1] == lines[1][:-1]
    assert [each[-1] for each in lines] == ["True", "False"]
