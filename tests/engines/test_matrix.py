"""Every engine equals the eager loop to rounding, over all that it can execute.

Cases in which rounding errors grow are in ``test_chaotic.py``. A sample runs with the other tests.
``python -m pytest -m slow tests/engines/test_matrix.py`` runs the whole matrix, which takes an hour
or more.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gdframe as gd

from .cases import (
    LOADERS,
    MATRIX_OF_COMPILED,
    MATRIX_OF_GRAM,
    MATRIX_OF_LINEAR,
    SAMPLE,
    chosen,
    slow_from,
    with_loaders,
)
from .chaos import is_chaotic
from .problems import Case, assert_apart, assert_equals_eager, stacked, train

STRICT = [case for case in SAMPLE if not is_chaotic(case)]
GRAM = chosen(MATRIX_OF_GRAM, lambda case: not is_chaotic(case))
LINEAR = chosen(MATRIX_OF_LINEAR, lambda case: not is_chaotic(case))
COMPILED = chosen(MATRIX_OF_COMPILED, lambda case: not is_chaotic(case))


@pytest.mark.parametrize("case", slow_from(STRICT, 3), ids=str)
def test_linear_equals_eager(case):
    for one in with_loaders(case):
        assert_equals_eager(one)


@pytest.mark.parametrize("place", range(len(GRAM)))
def test_gram_equals_eager(place):
    for case in list(GRAM.values())[place][place % 6 :: 6]:
        assert_equals_eager(case)


@pytest.mark.parametrize(
    "case",
    [
        Case("compiled", optimizer="adam", model="mlp", penalty="l2", clip=0.5),
        pytest.param(
            Case("compiled", optimizer="momentum", model="mlp", loss="cross_entropy", runs=7,
                 schedule="cosine", dtype=torch.float32), marks=pytest.mark.slow),
    ],
    ids=str,
)  # fmt: skip
def test_compiled_equals_eager(case):
    assert_equals_eager(case)


@pytest.mark.slow
@pytest.mark.parametrize("cells", GRAM.values(), ids=GRAM)
def test_the_whole_matrix_of_gram(cells):
    assert_apart(assert_equals_eager, cells)


@pytest.mark.slow
@pytest.mark.parametrize("cells", LINEAR.values(), ids=LINEAR)
def test_the_whole_matrix_of_linear(cells):
    assert_apart(assert_equals_eager, cells)


@pytest.mark.slow
@pytest.mark.parametrize("cells", COMPILED.values(), ids=COMPILED)
def test_the_whole_matrix_of_compiled(cells):
    assert_apart(assert_equals_eager, cells)


@settings(max_examples=30)
@given(
    rows=st.integers(1, 40), features=st.integers(1, 9), batch_size=st.integers(1, 40),
    loader=st.sampled_from(LOADERS), runs=st.sampled_from([1, 2, 17]),
)  # fmt: skip
def test_linear_equals_eager_for_any_shape(rows, features, batch_size, loader, runs):
    case = Case(
        "linear", loader, "momentum", runs=runs, rows=rows, features=features,
        batch_size=batch_size,
    )  # fmt: skip
    assert_equals_eager(case, epochs=3)


@settings(max_examples=30)
@given(rows=st.integers(12, 60), features=st.integers(1, 9), runs=st.sampled_from([1, 3]))
def test_gram_equals_eager_for_any_shape(rows, features, runs):
    case = Case("gram", "full_batch", "adam", runs=runs, rows=rows, features=features)
    assert_equals_eager(case, epochs=5)


SHAPES = {
    "no bias": lambda data: (gd.Linear(3, 2, bias=False), None),
    "two outputs": lambda data: (gd.Linear(3, 2), gd.L2(strength=0.1)),
    "penalised biases": lambda data: (gd.Linear(3, 2), gd.L2(strength=0.1, biases=True)),
    "polynomial": lambda data: (gd.Polynomial(3, 2, degree=2), gd.L2(strength=0.1)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("engine", "loader"),
    [("linear", "full_batch"), ("linear", "per_sample"), ("linear", "mini_batch"),
     ("gram", "full_batch")],
)  # fmt: skip
def test_engines_equal_eager_for_models_of_all_shapes(engine, loader, shape):
    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((23, 3)), draw.standard_normal((23, 2))
    data = gd.Dataset.from_arrays(x, y, validation=0.2, dtype=torch.float64)
    loader = gd.LOADERS.build(loader, rows=data.rows, batch_size=5)
    results = []
    for name in ("eager", engine):
        model, penalty = SHAPES[shape](data)
        rule = gd.Momentum(model.double().parameters(), lr=0.01)
        run = gd.Problem(gd.Objective(model, gd.MSE(), penalty), rule, gd.Constant(), 0)
        built = gd.ENGINES.build(name, runs=[run], data=data, loader=loader, epochs=5)
        length = loader.steps_per_epoch
        norms = [built.advance(i * length, (i + 1) * length).gradient_norm for i in range(5)]
        ends = [vars(built.evaluate(part)[0]) for part in ("train", "validation")]
        built.copy_to_module(0)
        results.append((norms, ends, model.state_dict(), built.state(0)))
    (norms, ends, model, state), (others, finals, twin, memory) = results
    np.testing.assert_allclose(others, norms, rtol=1e-10)
    assert state.keys() == memory.keys()
    for expected, actual in ((model, twin), (state, memory)):
        for key, value in expected.items():
            torch.testing.assert_close(actual[key], value, rtol=1e-10, atol=1e-12)
    for a, b in zip(ends, finals):
        assert b["objective"] == pytest.approx(a["objective"], rel=1e-10)
        assert b["gradient_norms"] == pytest.approx(a["gradient_norms"], rel=1e-9)
        assert b["metrics"] == pytest.approx(a["metrics"], rel=1e-9)


@pytest.mark.parametrize("engine", ["linear", "gram"])
def test_constant_columns_do_no_harm(engine):
    x = np.column_stack([np.ones(20), np.arange(20.0), np.zeros(20)])
    data = gd.Dataset.from_arrays(x, np.arange(20.0) ** 2, standardize=True, dtype=torch.float64)
    ends = []
    for name in ("eager", engine):
        model = gd.Linear(3).double()
        rule = gd.GD(model.parameters(), lr=0.1)
        run = gd.Problem(gd.Objective(model, gd.MSE()), rule, gd.Constant(), 0)
        built = gd.ENGINES.build(name, runs=[run], data=data, loader=gd.FullBatch(20), epochs=30)
        for step in range(30):
            built.advance(step, step + 1)
        ends.append(stacked(built))
    for name, values in ends[0].items():
        torch.testing.assert_close(ends[1][name], values, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("runs", [1, 17])
def test_linear_gives_the_same_bits_for_any_number_of_threads(threads, runs):
    def results(count: int) -> dict:
        torch.set_num_threads(count)
        try:
            shape = {"rows": 5000, "features": 3, "batch_size": 3000}
            ends = {}
            for loader in ("full_batch", "mini_batch"):
                case = Case("linear", loader, dtype=torch.float32, runs=runs, **shape)
                ends |= {f"{loader}/{k}": v for k, v in train(case, "linear", 3)[1].items()}
            return ends
        finally:
            torch.set_num_threads(1)

    expected, actual = results(1), results(threads)
    for name, values in expected.items():
        assert np.array_equal(values, actual[name]), name


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc/self/status")
@pytest.mark.parametrize(
    "engine",
    ["linear", *(pytest.param(e, marks=pytest.mark.slow) for e in ("eager", "gram", "compiled"))],
)
def test_training_holds_no_second_copy_of_the_features(engine):
    code = f"""
import re
from pathlib import Path
import numpy as np, torch
import gdframe as gd
def peak():  # ru_maxrss would begin with what the parent of the process took
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", status)[1])
x = np.random.default_rng(0).standard_normal((400_000, 50), dtype=np.float32)
def run(x, y):
    data = gd.Dataset.from_arrays(x, y, standardize=True)
    assert data.train.features.dtype == torch.float32
    model = gd.Linear(50)
    loader = gd.FullBatch(len(x)) if {engine!r} == "gram" else gd.MiniBatch(len(x), 256)
    gd.Trainer(model, gd.MSE(), gd.GD(model.parameters(), 1e-3), loader, data, epochs=1,
               engine={engine!r}).fit()
run(x[:2000].copy(), x[:2000, 0].copy())  # imports and compiles before measuring
before = peak()
run(x, x[:, 0].copy())
print((peak() - before) / x.nbytes)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.6  # 1 for the standardised copy; the rest is blocks and orders


@pytest.mark.parametrize("degree", [2, 3])
def test_gram_equals_eager_for_collinear_columns_in_single_precision(degree):
    """A solution of norm 1e6 magnifies what single precision loses in the product of columns."""
    data = gd.Diabetes(validation=0.2).load()
    results = []
    for engine in ("eager", "gram"):
        model = gd.Polynomial(data.features, degree=degree)
        optimizer = gd.GD(model.parameters(), lr=0.001)
        trainer = gd.Trainer(
            model, gd.MSE(), optimizer, gd.FullBatch(data.rows), data, epochs=30, engine=engine
        )
        results.append(trainer.fit())
    eager, gram = results
    assert (gram.status, gram.epochs) == (eager.status, eager.epochs)
    for name in ("objective", "validation_loss"):
        np.testing.assert_allclose(gram.history[name], eager.history[name], rtol=1e-4)


@pytest.mark.parametrize("rate", [1e30, 1e5, 3.0])
def test_gram_overflows_where_eager_does_in_single_precision(rate):
    results = []
    for engine in ("eager", "gram"):
        data = gd.Diabetes(validation=0.2).load()
        model = gd.Linear(data.features)
        results.append(
            gd.Trainer(
                model, gd.MSE(), gd.GD(model.parameters(), lr=rate), gd.FullBatch(data.rows), data,
                engine=engine, epochs=50, stopping=gd.Stopping(divergence_factor=1e300),
            ).fit()
        )  # fmt: skip
    assert {str(result.status) for result in results} == {"diverged"}
    assert results[0].reason == results[1].reason
    assert results[0].steps == results[1].steps
