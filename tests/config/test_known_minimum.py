"""The minimum of a function is computed from its run folder, which may be somebody else's."""

from __future__ import annotations

import pytest

import gdframe as gd
from gdframe.config.known_minimum import known_minimum
from gdframe.runs.run_folder import RunFolder

KNOWN = {
    "himmelblau": (["model=himmelblau"], 0.0),
    "rosenbrock": (["model=rosenbrock", "model.dimension=5"], 0.0),
    "tilted": (["model=double_well", "model.tilt=0.3"], -0.305425),
    "penalised": (["model=double_well", "penalty=l2"], None),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_function_knows_its_minimum(tmp_path, name):
    settings, expected = KNOWN[name]
    gd.train(*settings, "epochs=1", folder=tmp_path / "run")
    minimum = known_minimum(RunFolder(tmp_path / "run").read_result(), tmp_path / "run")
    assert minimum == (None if expected is None else pytest.approx(expected, abs=1e-5))


class Moved(gd.Rosenbrock):
    def value(self, x):
        return super().value(x - 1) + 7


class MovedAndKnown(Moved):
    def minima(self):
        return [[2.0, 2.0]]


@pytest.mark.parametrize(("function", "expected"), [(Moved, None), (MovedAndKnown, 7.0)])
def test_minima_are_those_of_the_value(tmp_path, function, expected):
    gd.MODELS.register(f"known_{function.__name__}")(function)
    result = gd.train(
        f"model=known_{function.__name__}", "epochs=2", "lr=1e-4", folder=tmp_path / "run"
    )
    assert known_minimum(RunFolder(tmp_path / "run").read_result(), tmp_path / "run") == expected
    assert "global minimum" not in result.reason


@pytest.mark.parametrize(
    ("written", "foreign"),
    [
        ("dimension: 2", "dimension: 1000000000"),
        ("dimension: 2", "dimension: 1000000000000000000"),
        ("dimension: 2", "dimension: -1"),
        ("dimension: 2", "dimension: a"),
        ("condition_number: 10", "condition_number: -3"),
        ("condition_number: 10", "surprise: 1\n  condition_number: 10"),
        ("dtype: float32", "dtype: load"),
        ("name: quadratic", "name: nothing"),
        ("name: none", "surprise: 1"),
    ],
)
def test_the_minimum_of_a_function_that_cannot_be_built_is_unknown(tmp_path, written, foreign):
    gd.train("model=quadratic", "epochs=1", folder=tmp_path / "run")
    result = RunFolder(tmp_path / "run").read_result()
    assert known_minimum(result, tmp_path / "run") == 0
    file = tmp_path / "run" / ".hydra" / "config.yaml"
    text = file.read_text()
    assert written in text
    file.write_text(text.replace(written, foreign))
    assert known_minimum(result, tmp_path / "run") is None
