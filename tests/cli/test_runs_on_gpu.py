"""Whole commands on a GPU: what they say and write is what they say and write on the CPU."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

RUNS = [
    ["lr=0.05", "variant=batch", "engine=gram"],
    ["lr=0.01", "variant=sgd", "engine=eager", "data=breast_cancer", "metric=[roc_auc,f1]"],
    ["lr=0.01", "model=mlp", "model.hidden=[8]", "engine=compiled", "optimizer=adam"],
    ["lr=0.0003", "model=mlp", "model.hidden=[8]", "schedule=cosine", "penalty=l2", "engine=eager"],
    ["lr=auto", "data=iris", "variant=batch"],
    ["lr=auto", "model=mlp", "model.hidden=[8]", "engine=eager"],
    ["lr=0.001", "model=rosenbrock"],
    ["lr=100", "variant=batch"],
]


def result_of(run):
    return json.loads((run / "result.json").read_text())


def numbers(value, name=""):
    """Yield the numbers of a JSON value with their paths; None is left out."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, f"{name}.{key}")
    elif value is not None:
        yield name, value


def compare(expected, found):
    """Check that two results agree in words, and in numbers to a relative 1e-5."""
    assert expected["status"] == found["status"]
    for name in (
        "objective",
        "gradient_norm",
        "lr",
        "metrics",
        "validation_loss",
        "epochs",
        "steps",
    ):
        a, b = (dict(numbers(result[name])) for result in (expected, found))
        assert a == pytest.approx(b, rel=1e-5, abs=1e-8, nan_ok=True), name


@pytest.mark.parametrize("words", RUNS, ids=" ".join)
def test_a_run_on_a_gpu_ends_as_on_the_cpu(gdframe, tmp_path, words):
    results = []
    for device in ("cpu", "cuda"):
        folder = tmp_path / device
        done = gdframe(
            *words, f"device={device}", "dtype=float64", "epochs=4", f"hydra.run.dir={folder}"
        )
        assert done.code == (3 if "lr=100" in words else 0), done.err
        results.append(result_of(folder))
    compare(*results)


def test_a_run_on_a_gpu_is_resumed_predicted_with_and_reported(gdframe, tmp_path):
    words = ["model=mlp", "model.hidden=[8]", "lr=0.0003", "device=cuda", "dtype=float64"]
    assert gdframe(*words, "epochs=6", f"hydra.run.dir={tmp_path / 'whole'}").code == 0
    run = tmp_path / "run"
    assert gdframe(*words, "epochs=3", f"hydra.run.dir={run}").code == 0
    done = gdframe("resume", str(run), "epochs=6")
    assert done.code == 0, done.err
    compare(result_of(tmp_path / "whole"), result_of(run))
    rows = load_diabetes(as_frame=False, scaled=False)
    np.savetxt(tmp_path / "rows.csv", rows.data[:5], delimiter=",", comments="",
               header=",".join(rows.feature_names))  # fmt: skip
    for verb, *words in (["predict", "rows.csv"], ["report"], ["landscape", "--points", "9"]):
        done = gdframe(verb, str(run), *words)
        assert done.code == 0, done.err
    assert (run / "report.html").stat().st_size > 10_000


def test_a_sweep_on_a_gpu_gives_the_runs_of_the_cpu(gdframe, tmp_path):
    words = ["-m", "lr=0.0002,0.0003", "seed=0,1", "model=mlp", "model.hidden=[8]", "dtype=float64"]
    for device in ("cpu", "cuda"):
        done = gdframe(*words, "epochs=3", f"device={device}", f"sweep.dir={tmp_path / device}")
        assert done.code == 0, done.err
    for run in ("0", "1", "2", "3"):
        compare(*(result_of(tmp_path / device / run) for device in ("cpu", "cuda")))


def test_the_range_of_learning_rates_is_that_of_the_cpu(gdframe, tmp_path):
    said = []
    for device in ("cpu", "cuda"):
        (tmp_path / device).mkdir()
        words = ["model=mlp", "model.hidden=[8]", "epochs=3", f"device={device}", "dtype=float64"]
        done = gdframe("lr-range", *words, cwd=tmp_path / device)
        assert done.code == 0, done.err
        said.append(done.out.partition("picture")[0])
    assert said[0] == said[1]


def test_auto_takes_the_gpu_for_a_large_network(gdframe, tmp_path):
    words = ["data=regression", "data.rows=20000", "data.features=200", "model=mlp"]
    sizes = ["model.hidden=[2048,2048]", "batch_size=2048", "epochs=1", "lr=0.001"]
    done = gdframe(*words, *sizes, "engine=eager", "device=auto", f"hydra.run.dir={tmp_path / 'r'}")
    assert done.code == 0, done.err
    assert result_of(tmp_path / "r")["device"].startswith("cuda")
