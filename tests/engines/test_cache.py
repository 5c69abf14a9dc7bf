"""The compiled code that engines cache on disk, and the cost of logging traces."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

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
import torch
import gdframe as gd
data = gd.Regression(rows=30, features=3, validation=0.0).load()
penalty = gd.L2(strength={strength})
objectives = []
for engine in ("eager", "compiled"):
    model = gd.MLP(3, hidden=[4], activation={activation!r})
    gd.initialize(model, gd.Kaiming(), seed=0)
    rule = gd.Momentum(model.parameters(), 0.01, beta={beta})
    trainer = gd.Trainer(model, gd.MSE(), rule, gd.MiniBatch(30, 5), data, epochs=3, engine=engine,
                         penalty=penalty)
    objectives.append(trainer.fit().objective)
eager, compiled = objectives
assert abs(eager - compiled) < 1e-5 * eager, objectives
print(compiled, "torch._dynamo" in sys.modules)
"""
PLAIN = {"activation": "tanh", "beta": 0.9, "strength": 0.1}


def compiled(cache, **changes) -> tuple[float, bool]:
    """Return the objective of a run in a new process, and whether it imported the compiler."""
    environment = {**os.environ, "GDFRAME_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    code = COMPILED.format(**{**PLAIN, **changes})
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    objective, imported = done.stdout.split()
    return float(objective), imported == "True"


@pytest.mark.slow
def test_a_compiled_loop_is_loaded_again_if_nothing_differs(tmp_path):
    first, is_compiled = compiled(tmp_path)
    assert is_compiled
    assert compiled(tmp_path) == (first, False)
    changes = [{"activation": "relu"}, {"beta": 0.5}, {"strength": 0.2}]
    others = {compiled(tmp_path, **change) for change in changes}
    assert len(others) == 3
    assert all(is_compiled for _, is_compiled in others)
    assert compiled(tmp_path) == (first, False)
    assert len([*(tmp_path / "loops").iterdir()]) == 4


@pytest.mark.slow
def test_a_damaged_loop_is_compiled_again(tmp_path):
    first, _ = compiled(tmp_path)
    (package,) = (tmp_path / "loops").iterdir()
    whole = package.read_bytes()
    for content in (b"", whole[:100], whole[: len(whole) // 2], b"not a package"):
        package.write_bytes(content)
        assert compiled(tmp_path) == (first, True)
    assert compiled(tmp_path) == (first, False)


@pytest.mark.slow
def test_a_loop_that_computes_something_else_is_compiled_again(tmp_path):
    """A file under another one's name stands for whatever its name does not tell."""
    other, _ = compiled(tmp_path, beta=0.5)
    (wrong,) = (tmp_path / "loops").iterdir()
    content = wrong.read_bytes()
    first, _ = compiled(tmp_path)
    (right,) = set((tmp_path / "loops").iterdir()) - {wrong}
    right.write_bytes(content)
    assert other != first
    assert compiled(tmp_path) == (first, True)
    assert right.read_bytes() != content


@pytest.mark.slow
def test_two_processes_compile_at_once(tmp_path):
    with ThreadPoolExecutor(2) as threads:
        ends = list(threads.map(lambda _: compiled(tmp_path), range(2)))
    assert ends[0] == ends[1]
    assert compiled(tmp_path) == (ends[0][0], False)


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_costs_a_compilation(tmp_path):
    (tmp_path / "file").write_text("in the way")
    first, is_compiled = compiled(tmp_path / "file" / "below")
    assert is_compiled
    assert compiled(tmp_path / "free") == (first, True)


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
